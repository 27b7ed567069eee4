"""The golden vectors of frames, in both directions, under both interpreters; bad ones are refused with their word."""

import json

from feeding import refusal, three_ways

from citymote_protocol import errors
from citymote_protocol.frame import decode
from citymote_protocol.plain import from_plain, to_plain

HEAP = "400k"  # all vectors at once, which no node ever holds
LONG = 200  # bytes; frames longer than this are cut at every seventh byte only


def _cases(name):
    with open("protocol/vectors/" + name) as file:
        return json.load(file)["cases"]


def test_good_frames_decode_to_what_they_say():
    for case in _cases("frames.json") + _cases("frames-calibration.json"):
        got = to_plain(decode(bytes.fromhex(case["hex"])))
        assert got == case["frame"], "%s: %s" % (case["name"], got)


def test_good_frames_are_encoded_byte_for_byte():
    for case in _cases("frames.json") + _cases("frames-calibration.json"):
        got = from_plain(case["frame"])
        assert got == bytes.fromhex(case["hex"]), "%s: %s" % (case["name"], "".join("%02x" % b for b in got))


def test_other_frames_decode_to_what_they_say():
    for case in _cases("frames-other.json"):
        got = to_plain(decode(bytes.fromhex(case["hex"])))
        assert got == case["frame"], "%s: %s" % (case["name"], got)


def test_bad_frames_are_refused_with_their_word():
    for case in _cases("frames-bad.json") + _cases("frames-bad-2.json"):
        code = refusal(decode, bytes.fromhex(case["hex"]))
        assert code == case["error"], "%s: %s, not %s" % (case["name"], code, case["error"])


def test_good_frames_are_refused_when_cut_or_followed():
    for name in ("frames.json", "frames-other.json"):
        for case in _cases(name):
            data = bytes.fromhex(case["hex"])
            if len(data) < LONG:
                three_ways(decode, data, case["name"])
            for end in range(0, len(data), 7):
                assert refusal(decode, data[:end]) == "truncated", case["name"]


def test_every_error_of_a_decoder_has_a_bad_frame():
    seen = set(case["error"] for case in _cases("frames-bad.json"))
    ours = ("no_room", "argument")  # encoders' own
    known = set()
    for name in dir(errors):
        code = getattr(errors, name)
        if name == name.upper() and isinstance(code, str) and not name.startswith("_"):
            known.add(code)
    missing = [code for code in known if code not in seen and code not in ours]
    assert not missing, missing


def test_every_error_has_its_clause():
    listed = [case["code"] for case in _cases("errors.json")]
    assert len(set(listed)) == len(listed), "a code is listed twice"
    for case in _cases("frames-bad.json"):
        assert case["error"] in listed, case["error"]
