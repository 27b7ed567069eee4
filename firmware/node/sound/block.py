"""What is done every 5 ms: exact energy sums, time weightings F and S with their extremes, a look at the raw words.

IEC 61672-1:2013, 5.8 (time weightings F and S) on the mean square of 5 ms, which costs at most 0.3 dB on the shortest
tonebursts of its table 4. Everything is a 32-bit integer; an average is a mantissa of 26 to 28 bits and an exponent.

`st` is the kernel's state: 0..5 filters, 6..14 sums of squares of Z, C and A in three parts (high, middle, low: E =
high * 2^22 + middle * 2^12 + low), 15 the peak of C, 16 that of the raw words. `q` is this file's:

    0, 1   F: mantissa, exponent; the energy of one block is mantissa / 128 * 2^exponent
    2, 3   S: the same
    4      energy of the last block as a key (see below), not averaged
    5      the last F as a key
    6..9   largest F, smallest F, largest S, smallest S, as keys
    10..18 energies of Z, C and A since they were cleared, three words of 22 bits each, lowest first
    19, 20 the raw words of this stretch or'ed and and'ed, one word a block

A key is (exponent + 64) / 2 * 2^20 + mantissa / 256: a number of 27 bits that grows with the level.
"""

import micropython

SIZE = 21
NO_MINIMUM = 0x3FFFFFFF


@micropython.viper
def block(m: int, d: int, st: ptr32, q: ptr32, words: ptr32, index: int, sl: int):
    # sl is 0 where a word has 32 bits, and 32 where a load from memory has to be given its sign back.
    # words[index] is the raw word that is looked at.
    i = 19
    q[i] = q[i] | words[index]
    i = 20
    q[i] = q[i] & words[index]
    # Energies of Z, C, A.
    j = 0
    while j < 9:
        i = 7 + j
        m = (st[i] << sl) >> sl
        st[i] = 0
        i = 8 + j
        d = (((st[i]) << sl) >> sl) + ((m & 1023) << 12)
        st[i] = 0
        i = 6 + j
        m = ((st[i] << sl) >> sl) + (m >> 10) + (d >> 22)
        st[i] = 0
        d = d & 4194303
        # Now d + m * 2^22 is the energy of this block.
        i = 10 + j
        x = q[i] + d
        q[i] = x & 4194303
        i = 11 + j
        x = q[i] + (m & 4194303) + (x >> 22)
        q[i] = x & 4194303
        i = 12 + j
        q[i] = q[i] + (m >> 22) + (x >> 22)
        j += 3
    # The energy of A, left in m and d by the last turn, as mantissa and exponent.
    e = 0
    while m > 0:
        d = (d >> 2) | ((m & 3) << 20)
        m = m >> 2
        e += 2
    if d > 0:
        while d < 1048576:
            d = d << 2
            e -= 2
    else:
        e = -40
    fresh = d << 7
    i = 4
    q[i] = (((e + 64) >> 1) << 20) | (fresh >> 8)
    # F, then S: average += (block - average) * k / 2^17. For S, k is 1 - exp(-5 ms / 1 s); for F, 1 - exp(-5 ms / 123
    # ms), because means of 5 ms take up to 0.26 dB from a short burst, and this gives some of it back.
    j = 0
    k = 5217
    while j < 4:
        m = (q[j] << sl) >> sl
        i = j + 1
        fe = (q[i] << sl) >> sl
        d = fresh
        if e > fe:
            if e - fe > 30:
                m = 0
            else:
                m = m >> (e - fe)
            fe = e
        else:
            if fe - e > 30:
                d = 0
            else:
                d = d >> (fe - e)
        d = d - m
        m = (((d >> 12) * k) >> 5) + m
        if m > 0:
            while m < 67108864:
                if fe < -39:
                    break
                m = m << 2
                fe -= 2
            while m >= 268435456:
                m = m >> 2
                fe += 2
        q[j] = m
        q[i] = fe
        d = (((fe + 64) >> 1) << 20) | (m >> 8)
        if j == 0:
            i = 5
            q[i] = d
        i = 6 + j
        if d > q[i]:
            q[i] = d
        i = 7 + j
        if d < q[i]:
            q[i] = d
        j += 2
        k = 654
