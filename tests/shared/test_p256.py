"""P-256 under both interpreters: published values, refusals, and the promise that no step is long.

Wycheproof's vectors are in tests/host/test_wycheproof.py; these few need no other folder.
"""

from citymote_protocol import p256

# RFC 5903, section 8.1
INITIATOR = "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433"
GIX = "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180"
GIY = "5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3"
RESPONDER = "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53"
GRX = "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
GRY = "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
SHARED = "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"

# RFC 6979, appendix A.2.5, SHA-256 of "sample" and of "test"
SIGNER = (
    "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)
SAMPLE = "AF2BDBE1AA9B6EC1E2ADE1D694F41FC71A831D0268E9891562113D8A62ADD1BF"
SAMPLE_SIGNATURE = (
    "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
)
TEST = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
TEST_SIGNATURE = (
    "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
    "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
)


def _hex(text):
    return bytes.fromhex(text)


def _random(count):
    return bytes(range(0xA7, 0xA7 + count))


def _code(function, *arguments):
    try:
        function(*arguments)
    except p256.CurveError as error:
        return error.code
    return None


def test_public_keys_of_rfc_5903():
    for private, x, y in ((INITIATOR, GIX, GIY), (RESPONDER, GRX, GRY)):
        public = p256.public_key(_hex(private), _random)
        assert public == p256.encode_point(int(x, 16), int(y, 16)), public.hex()


def test_shared_secret_of_rfc_5903_from_both_sides_and_both_point_forms():
    r_long = b"\x04" + _hex(GRX + GRY)
    i_short = bytes((2 + (int(GIY, 16) & 1),)) + _hex(GIX)
    assert p256.ecdh(_hex(INITIATOR), r_long, _random) == _hex(SHARED)
    assert p256.ecdh(_hex(RESPONDER), i_short, _random) == _hex(SHARED)


def test_blinding_changes_the_scalar_and_not_the_result():
    seen = []
    plain = p256._digits

    def digits(k, count):
        seen.append(k)
        return plain(k, count)

    p256._digits = digits
    try:
        for fill in (0, 1, 0x7F, 0xFF):
            assert p256.public_key(_hex(INITIATOR), lambda count, fill=fill: bytes((fill,)) * count)[1:] == _hex(GIX)
    finally:
        p256._digits = plain
    assert len(set(seen)) == 4, "four blinds, four scalars"
    assert all((k - int(INITIATOR, 16)) % p256.N == 0 for k in seen), "scalars differ by multiples of the order"
    assert max(seen) >> 300, "64 bits of blinding make a scalar of 320 bits"


def test_the_row_of_operations_does_not_depend_on_the_key():
    counts = []
    double, add = p256._double, p256._add

    def count_double(x, y, z):
        counts[-1] += "d"
        return double(x, y, z)

    def count_add(*arguments):
        counts[-1] += "a"
        return add(*arguments)

    p256._double, p256._add = count_double, count_add
    try:
        for private in (2, 3, 1 << 255, p256.N - 2):
            counts.append("")
            p256.public_key(private.to_bytes(32, "big"), _random)
    finally:
        p256._double, p256._add = double, add
    assert len(set(counts)) == 1, "doublings and additions came in another order for another key"


def test_signatures_of_rfc_6979():
    public = b"\x04" + _hex(SIGNER)
    assert p256.verify(public, _hex(SAMPLE), _hex(SAMPLE_SIGNATURE))
    assert p256.verify(p256.compress(public), _hex(TEST), _hex(TEST_SIGNATURE))


def test_altered_signatures_digests_and_keys_are_refused():
    public, digest, good = b"\x04" + _hex(SIGNER), _hex(SAMPLE), _hex(SAMPLE_SIGNATURE)
    for bit in (0, 255, 256, 511):
        bad = bytearray(good)
        bad[bit >> 3] ^= 1 << (bit & 7)
        assert not p256.verify(public, digest, bytes(bad)), "signature bit %d" % bit
    assert not p256.verify(public, _hex(TEST), good)
    assert not p256.verify(b"\x04" + _hex(GIX + GIY), digest, good)
    assert not p256.verify(public, digest, good + b"\0")
    assert not p256.verify(public, digest[:31], good)
    order = p256.N.to_bytes(32, "big")
    for r, s in ((bytes(32), good[32:]), (good[:32], bytes(32)), (order, good[32:]), (good[:32], order)):
        assert not p256.verify(public, digest, r + s), "r and s lie between 1 and N - 1"


def test_points_survive_both_encodings():
    x, y = int(GIX, 16), int(GIY, 16)
    for compressed in (True, False):
        assert p256.decode_point(p256.encode_point(x, y, compressed)) == (x, y)
        assert p256.decode_point(p256.encode_point(x, p256.P - y, compressed)) == (x, p256.P - y)


def test_every_bad_point_has_its_code():
    x = _hex(GIX)
    over = (p256.P + 5).to_bytes(32, "big")
    for data, code in (
        (b"", "point_form"),
        (b"\x00", "point_form"),
        (b"\x04" + x, "point_form"),
        (b"\x02" + x + x, "point_form"),
        (b"\x05" + x, "point_form"),
        (b"\x06" + x + x, "point_form"),
        (b"\x02" + over, "point_range"),
        (b"\x04" + x + over, "point_range"),
        (b"\x04" + x + x, "point_off_curve"),
        (b"\x02" + (1).to_bytes(32, "big"), "point_off_curve"),
    ):
        found = _code(p256.decode_point, data)
        assert found == code, "%s gave %s instead of %s" % (data[:4].hex(), found, code)


def test_private_keys_out_of_range_are_refused_without_being_told():
    for value in (0, p256.N, p256.N + 1):
        assert _code(p256.public_key, value.to_bytes(32, "big"), None) == "private_range"
    assert _code(p256.public_key, b"\x01" * 31, None) == "private_length"
    try:
        p256.public_key(p256.N.to_bytes(32, "big"), None)
    except p256.CurveError as error:
        assert "115792" not in str(error) and "ffff" not in str(error).lower()


def test_a_dead_random_source_gives_no_key():
    for fill in (0, 0x55, 0xFF):
        assert _code(p256.draw_private, lambda count, fill=fill: bytes((fill,)) * count) == "no_entropy"


def test_small_multiples_reach_infinity_where_they_must():
    # (N - 1) G = -G and 1 G = G: the complete addition meets equal and opposite points here.
    g = p256.encode_point(p256.GX, p256.GY)
    assert p256.public_key((1).to_bytes(32, "big"), None) == g
    assert p256.public_key((p256.N - 1).to_bytes(32, "big"), None) == p256.encode_point(p256.GX, p256.P - p256.GY)


def test_no_step_does_more_than_a_few_point_operations():
    """An ESP32-C3 does some 15 doublings in 20 ms (estimated): what runs between two yields stays at half of that."""
    work = [0]
    double, add, inverse = p256._double, p256._add, p256._inverse

    def counted(function, cost):
        def call(*arguments):
            work[0] += cost
            return function(*arguments)

        return call

    # In tenths of a doubling: a mixed addition takes 1.6 of it, Euclid's inverse 6 (measured).
    p256._double, p256._add, p256._inverse = counted(double, 10), counted(add, 16), counted(inverse, 60)
    try:
        longest = steps = 0
        compressed = p256.compress(b"\x04" + _hex(SIGNER))
        for generator in (
            p256.ecdh_steps(_hex(INITIATOR), compressed, _random),
            p256.verify_steps(compressed, _hex(SAMPLE), _hex(SAMPLE_SIGNATURE)),
            p256.key_pair_steps(_random),
        ):
            work[0] = 0
            for _ in generator:
                longest = max(longest, work[0])
                work[0] = 0
                steps += 1
            longest = max(longest, work[0])
    finally:
        p256._double, p256._add, p256._inverse = double, add, inverse
    assert longest <= 80, "a step took the time of %.1f doublings" % (longest / 10)
    assert steps > 200, "only %d pauses" % steps
