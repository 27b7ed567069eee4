"""HSS-LMS signatures: the RFCs' own hold, and with anything changed they do not."""

import json
from hashlib import sha256

from citymote_protocol.lms import check_key, verify_steps

HEAP = "200k"  # the vectors are larger than what a node holds


def _cases():
    with open("protocol/vectors/hss-lms.json") as file:
        for case in json.load(file)["cases"]:
            yield [bytes.fromhex(case[name]) for name in ("key", "message", "signature")]


def _run(steps):
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            return end.value, count


def holds(key, message, signature):
    return _run(verify_steps(sha256, key, message, signature))[0]


def changed(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def test_the_examples_of_the_rfcs_hold():
    seen = 0
    for key, message, signature in _cases():
        assert holds(key, message, signature) is True
        seen += 1
    assert seen == 3


def test_a_step_is_a_chain_so_that_a_node_goes_on_sampling():
    key, message, signature = next(_cases())
    assert _run(verify_steps(sha256, key, message, signature)) == (True, 2 * 34)


def test_another_message_or_key_does_not_hold():
    for key, message, signature in _cases():
        assert holds(key, changed(message, 0), signature) is False
        for at in (0, 4, 11, 12, 28, len(key) - 1):
            assert holds(changed(key, at), message, signature) is False, "byte %d of the key" % at


def test_no_byte_of_a_signature_may_change():
    key, message, signature = list(_cases())[2]
    for at in range(0, len(signature), 31):
        assert holds(key, message, changed(signature, at)) is False, "byte %d" % at
    for at in range(16):
        assert holds(key, message, changed(signature, at)) is False, "byte %d" % at


def test_a_signature_that_is_cut_short_or_goes_on_does_not_hold():
    key, message, signature = list(_cases())[2]
    for size in (0, 3, 4, 8, 40, len(signature) // 2, len(signature) - 1):
        assert holds(key, message, signature[:size]) is False, "%d bytes" % size
    assert holds(key, message, signature + b"\0") is False


def test_what_is_no_key_is_said_to_be_none():
    good = next(_cases())[0]
    for bad in (b"", good[:-1], good + b"\0", changed(good, 3)[:3] + b"\x09" + good[4:], b"\0" * 60):
        try:
            check_key(bad)
        except ValueError:
            continue
        raise AssertionError(bad.hex())
