"""Runs Project Wycheproof's vectors against our code, under either interpreter; test_wycheproof.py judges.

Each function takes the file's parsed JSON and returns (cases run, names of failed cases). As a script it is what the
MicroPython half executes: `wycheproof.py FOLDER` prints one line a file.
"""

import json
import sys

from citymote_protocol import aesccm, hkdf, p256

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto


def _random(count):
    return bytes(range(0x9D, 0x9D + count))


CRYPTO = Crypto(_random)


def _cases(file):
    for group in file["testGroups"]:
        for case in group["tests"]:
            yield group, case


def _hex(text):
    return bytes.fromhex(text)


def ecdh(file, agree):
    """Point decoding and ECDH. Private keys come as numbers of any length: ours have 32 bytes."""
    ran, failed = 0, []
    for _, case in _cases(file):
        private = int.from_bytes(_hex(case["private"]), "big").to_bytes(32, "big")
        try:
            outcome = agree(private, _hex(case["public"])) == _hex(case["shared"])
        except p256.CurveError:
            outcome = False
        ran += 1
        # "acceptable" marks compressed points, which a library may refuse; we take them, so they must be right.
        if outcome != (case["result"] != "invalid"):
            failed.append(case["tcId"])
    return ran, failed


def ecdh_blinded(file):
    return ecdh(file, lambda private, public: p256.ecdh(private, public, _random))


def ecdh_plain(file):
    return ecdh(file, lambda private, public: p256.ecdh(private, public, None))


def ecdh_provider(file):
    return ecdh(file, lambda private, public: p256.run(CRYPTO.ecdh_steps(private, public)))


def ecdsa(file):
    ran, failed = 0, []
    for group, case in _cases(file):
        digest = CRYPTO.sha256(_hex(case["msg"])).digest()
        public = _hex(group["publicKey"]["uncompressed"])
        ran += 1
        if p256.verify(public, digest, _hex(case["sig"])) != (case["result"] == "valid"):
            failed.append(case["tcId"])
    return ran, failed


def _ccm(file, seal, open_):
    """The parameters COSE knows, and all others that CCM allows; AES-192 is nobody's here."""
    ran, failed = 0, []
    for group, case in _cases(file):
        if group["keySize"] == 192:
            continue
        key, nonce, aad = _hex(case["key"]), _hex(case["iv"]), _hex(case["aad"])
        plain, tag = _hex(case["msg"]), _hex(case["tag"])
        sealed = _hex(case["ct"]) + tag
        ran += 1
        try:
            made = seal(key, nonce, plain, aad, len(tag)) == sealed
            opened = open_(key, nonce, sealed, aad, len(tag)) == plain
        except ValueError:
            opened = False
            made = False  # a tag that was altered is not made either
        if opened != (case["result"] == "valid") or made != opened:
            failed.append(case["tcId"])
    return ran, failed


def aes_ccm(file):
    """The pure code over the provider's block function."""
    block = CRYPTO.aes_block
    return _ccm(
        file,
        lambda key, nonce, plain, aad, tag: aesccm.seal(block(key), nonce, plain, aad, tag),
        lambda key, nonce, sealed, aad, tag: aesccm.open_(block(key), nonce, sealed, aad, tag),
    )


def aes_ccm_provider(file):
    return _ccm(file, CRYPTO.ccm_seal, CRYPTO.ccm_open)


def hkdf_pure(file):
    ran, failed = 0, []
    for _, case in _cases(file):
        ran += 1
        try:
            made = hkdf.hkdf(CRYPTO.sha256, _hex(case["ikm"]), _hex(case["salt"]), _hex(case["info"]), case["size"])
        except ValueError:
            made = None
        if (made == _hex(case["okm"])) != (case["result"] == "valid"):
            failed.append(case["tcId"])
    return ran, failed


SUITES = (
    ("ecdh_blinded", "ecdh_secp256r1_ecpoint_test.json", ecdh_blinded),
    ("ecdh_plain", "ecdh_secp256r1_ecpoint_test.json", ecdh_plain),
    ("ecdh_provider", "ecdh_secp256r1_ecpoint_test.json", ecdh_provider),
    ("ecdsa", "ecdsa_secp256r1_sha256_p1363_test.json", ecdsa),
    ("aes_ccm", "aes_ccm_test.json", aes_ccm),
    ("aes_ccm_provider", "aes_ccm_test.json", aes_ccm_provider),
    ("hkdf", "hkdf_sha256_test.json", hkdf_pure),
)


def main(folder, wanted):
    for name, file, suite in SUITES:
        if name in wanted:
            with open(folder + "/" + file) as stream:  # noqa: PTH123
                ran, failed = suite(json.load(stream))
            print(name, ran, failed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
