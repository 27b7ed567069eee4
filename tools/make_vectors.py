"""Makes the golden vectors of frames in protocol/vectors: what is right, what is refused, and with which word.

`python3 tools/make_vectors.py` writes files that are missing and says whether those that are there are still what the
code gives. A file that is there is never rewritten: a new version of the specification adds files. The frames are in
`frame_cases` and `frame_refusals`; the vectors of sealing, of sessions and of RFC 8949 have other sources.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "protocol" / "vectors"
sys.path.insert(0, str(ROOT / "protocol"))

from citymote_protocol import frame, plain  # noqa: E402
from citymote_protocol.errors import FrameError  # noqa: E402
from frame_cases import IDENTITY, Case, calibrated, good, other  # noqa: E402
from frame_refusals import bad, bad_order  # noqa: E402

_plain = cast("Any", plain)
_decode = cast("Any", frame).decode


def frames_good() -> list[Case]:
    out: list[Case] = []
    for name, case in good():
        raw: bytes = _plain.from_plain(case)
        out.append({"name": name, "hex": raw.hex(), "frame": _plain.to_plain(_decode(raw))})
        assert out[-1]["frame"] == case, name
    return out


def frames_calibration() -> list[Case]:
    event = next(case for name, case in good() if name == "descriptor, smallest")
    out: list[Case] = []
    for name, fields in calibrated():
        plain = {**{key: event[key] for key in IDENTITY}, "kind": "descriptor", "fields": fields}
        raw = _plain.from_plain(plain)
        assert _plain.to_plain(_decode(raw)) == plain, name
        out.append({"name": name, "hex": raw.hex(), "frame": plain})
    return out


def frames_other() -> list[Case]:
    return [{"name": name, "hex": raw.hex(), "frame": _plain.to_plain(_decode(raw))} for name, raw in other()]


def frames_bad(made: Callable[[], Iterator[tuple[str, bytes, str]]] = bad) -> list[Case]:
    out: list[Case] = []
    for name, raw, code in made():
        try:
            _decode(raw)
        except FrameError as error:
            assert cast("Any", error).code == code, f"{name}: {error}, not {code}"
        else:
            raise AssertionError(f"{name}: decoded")
        out.append({"name": name, "hex": raw.hex(), "error": code})
    return out


FILES = {
    "frames.json": ("SPEC 3, 4, 6: frames that every decoder reads and every encoder writes exactly so.", frames_good),
    "frames-calibration.json": (
        "SPEC 6.3: descriptors whose sensors say how they were calibrated.",
        frames_calibration,
    ),
    "frames-other.json": (
        "SPEC 7.2: frames that every decoder reads and no encoder of version 1.0 writes.",
        frames_other,
    ),
    "frames-bad.json": ("SPEC 8: what every decoder refuses, and with which code.", frames_bad),
    "frames-bad-2.json": (
        "SPEC 1.2, 3.2 and 9: which rule comes first, and numbers just over their limits.",
        lambda: frames_bad(bad_order),
    ),
}


def text(name: str) -> str:
    what, make = FILES[name]
    cases = ",\n".join("  " + json.dumps(case, ensure_ascii=False, separators=(", ", ": ")) for case in make())
    return f'{{\n "what": {json.dumps(what)},\n "cases": [\n{cases}\n ]\n}}\n'


def main() -> int:
    status = 0
    for name in FILES:
        path = FOLDER / name
        wanted = text(name)
        if not path.exists():
            path.write_text(wanted, encoding="utf-8")
            print(f"{name}: written")
        elif path.read_text(encoding="utf-8") != wanted:
            print(f"{name}: the code no longer gives these bytes; published vectors stay, new ones go into a new file")
            status = 1
        else:
            print(f"{name}: holds")
    return status


if __name__ == "__main__":
    sys.exit(main())
