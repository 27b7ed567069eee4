"""AES-CCM, HMAC and HKDF under both interpreters, against the RFCs' own examples."""

import sys

from citymote_protocol import aesccm, hkdf

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto

CRYPTO = Crypto(bytes)

# RFC 3610, packet vector 1: 13-byte nonce, 8-byte tag, as AES-CCM-16-64-128
KEY = bytes(range(0xC0, 0xD0))
NONCE = bytes.fromhex("00000003020100A0A1A2A3A4A5")
AAD = bytes(range(8))
PLAIN = bytes(range(8, 0x1F))
SEALED = bytes.fromhex("588C979A61C663D2F066D0C2C0F989806D5F6B61DAC38417E8D12CFDF926E0")


def _block(key=KEY):
    return CRYPTO.aes_block(key)


def test_packet_vector_1_of_rfc_3610():
    assert aesccm.seal(_block(), NONCE, PLAIN, AAD, 8) == SEALED
    assert aesccm.open_(_block(), NONCE, SEALED, AAD, 8) == PLAIN


def test_example_1_of_sp_800_38c_has_a_short_nonce_and_tag():
    sealed = aesccm.seal(_block(bytes(range(0x40, 0x50))), bytes(range(0x10, 0x17)), b"\x20\x21\x22\x23", AAD, 4)
    assert sealed.hex() == "7162015b4dac255d"


def test_every_length_around_the_block_opens_again():
    aads = (b"", b"a", bytes(13), bytes(14), bytes(15), bytes(30), bytes(31), bytes(300))
    for size in (0, 1, 15, 16, 17, 31, 32, 33, 255):
        plain = bytes(i & 255 for i in range(size))
        aad = aads[size % len(aads)]
        for tag in (8, 16):
            sealed = aesccm.seal(_block(), NONCE, plain, aad, tag)
            assert len(sealed) == size + tag
            assert aesccm.open_(_block(), NONCE, sealed, aad, tag) == plain, "size %d tag %d" % (size, tag)


def test_the_provider_gives_the_same_bytes_as_the_pure_code():
    for size in (1, 16, 150):
        plain = bytes(size)
        sealed = aesccm.seal(_block(), NONCE, plain, AAD, 8)
        assert CRYPTO.ccm_seal(KEY, NONCE, plain, AAD, 8) == sealed
        assert CRYPTO.ccm_open(KEY, NONCE, sealed, AAD, 8) == plain


def test_a_counter_carries_over_its_byte():
    plain = bytes(16 * 260)
    sealed = aesccm.seal(_block(), NONCE, plain, b"", 8)
    assert CRYPTO.ccm_open(KEY, NONCE, sealed, b"", 8) == plain
    assert sealed[16 * 256 : 16 * 257] != sealed[:16]


def _refused(*arguments):
    try:
        aesccm.open_(*arguments)
    except aesccm.TagError:
        return True
    return False


def test_any_altered_bit_is_refused():
    for place in range(len(SEALED)):
        bad = bytearray(SEALED)
        bad[place] ^= 0x80
        assert _refused(_block(), NONCE, bytes(bad), AAD, 8), "byte %d" % place
    assert _refused(_block(), NONCE, SEALED, AAD + b"\0", 8)
    assert _refused(_block(), b"\1" + NONCE[1:], SEALED, AAD, 8)
    assert _refused(_block(bytes(16)), NONCE, SEALED, AAD, 8)
    assert _refused(_block(), NONCE, SEALED[:7], AAD, 8)


def test_a_refused_plaintext_is_wiped():
    data = bytearray(SEALED[:-8])
    try:
        aesccm.decrypt(_block(), NONCE, data, AAD, bytes(8))
        raise AssertionError("a wrong tag was taken")
    except aesccm.TagError:
        assert data == bytes(len(data))


def test_nonces_and_tags_outside_ccm_are_refused():
    for nonce, tag in ((bytes(6), 8), (bytes(14), 8), (bytes(13), 2), (bytes(13), 7), (bytes(13), 18)):
        try:
            aesccm.seal(_block(), nonce, b"x", b"", tag)
            raise AssertionError("nonce of %d, tag of %d taken" % (len(nonce), tag))
        except ValueError:
            pass


def test_hmac_of_rfc_4231():
    assert hkdf.hmac(CRYPTO.sha256, b"Jefe", b"what do ya ", b"want for nothing?").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    long_key = hkdf.hmac(CRYPTO.sha256, b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First")
    assert long_key.hex() == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"


def test_hkdf_of_rfc_5869():
    okm = hkdf.hkdf(CRYPTO.sha256, b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    okm = hkdf.hkdf(CRYPTO.sha256, b"\x0b" * 22, b"", b"", 42)
    assert okm.hex() == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"


def test_the_provider_derives_the_same_bytes():
    prk = hkdf.extract(CRYPTO.sha256, b"salt", b"secret")
    assert CRYPTO.hkdf_extract(b"salt", b"secret") == prk
    assert CRYPTO.hkdf_expand(prk, b"info", 80) == hkdf.expand(CRYPTO.sha256, prk, b"info", 80)
    assert CRYPTO.hmac(b"k", b"a", b"b") == hkdf.hmac(CRYPTO.sha256, b"k", b"ab")


def test_comparison_takes_equal_bytes_only():
    assert hkdf.same(b"abc", bytearray(b"abc")) and hkdf.same(b"", b"")
    assert not hkdf.same(b"abc", b"abd") and not hkdf.same(b"abc", b"ab")
