"""Coverage-guided fuzzing of the frame decoder: `python fuzz_frames.py CORPUS -max_total_time=60` (Atheris, libFuzzer).

Whatever comes in has to be a frame or one of the decoder's own errors, and a frame has to survive being said in plain
values and encoded again. Anything else that is raised, a hang, or memory that grows is a find; libFuzzer writes the
input to a file that reruns it.
"""

import sys
from typing import Any, cast

import atheris

with atheris.instrument_imports():
    from citymote_protocol import frame, plain, quality
    from citymote_protocol.errors import FrameError

_frame: Any = frame
_plain: Any = plain
_quality: Any = quality


def same(said: dict[str, Any]) -> dict[str, Any]:
    """What a frame means, where a peer may say it in several ways: runs that touch, regular rows with times."""
    if "count" not in said:
        return said
    count, width = said["count"], len(said["columns"])
    times = said["times"] or [said["time"] + row * said["interval"] for row in range(count)]
    runs = _quality.runs(_quality.expand(said["quality"], width, count), count)
    return {**said, "kind": "batch", "quality": runs, "times": times}


def one(data: bytes) -> None:
    try:
        got = _frame.decode(data)
    except FrameError:
        return
    said = _plain.to_plain(got)
    if said["minor"] or said.get("options") or said["kind"] == "descriptor":
        return
    assert same(_plain.to_plain(_frame.decode(_plain.from_plain(said)))) == same(said)


def main() -> None:
    cast("Any", atheris).Setup(sys.argv, one)
    cast("Any", atheris).Fuzz()


if __name__ == "__main__":
    main()
