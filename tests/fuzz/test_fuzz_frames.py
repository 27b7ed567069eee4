"""A minute of coverage-guided fuzzing over the frame decoder, from the vectors on (make test-long).

Atheris where it installs (CPython 3.11 and 3.12 on Linux); elsewhere a minute of damaged vectors, without guidance.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import re
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any, cast

import pytest

from citymote_protocol import frame
from citymote_protocol.errors import FrameError

TOP = Path(__file__).resolve().parents[2]
TARGET = Path(__file__).with_name("fuzz_frames.py")
SECONDS = 60


def _seeds() -> list[bytes]:
    out: list[bytes] = []
    for name in ("frames.json", "frames-other.json", "frames-bad.json", "frames-bad-2.json"):
        cases = json.loads((TOP / "protocol" / "vectors" / name).read_text(encoding="utf-8"))["cases"]
        out += [bytes.fromhex(case["hex"]) for case in cases]
    return out


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 4)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="Atheris is not installed")
def test_a_guided_minute_finds_nothing(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(_seeds()):
        (corpus / f"{index:03}").write_bytes(seed)
    done = subprocess.run(
        [
            sys.executable,
            str(TARGET),
            str(corpus),
            f"-max_total_time={SECONDS}",
            "-max_len=9000",
            "-timeout=5",
            "-rss_limit_mb=512",
            f"-artifact_prefix={tmp_path}/",
        ],
        env={"PYTHONPATH": str(TOP / "protocol"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=SECONDS * 3,
        check=False,
    )
    finds = [f"{path.name}: {path.read_bytes().hex()}" for path in tmp_path.iterdir() if path.is_file()]
    assert done.returncode == 0, f"{finds}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs and int(runs[1]) > 1000, done.stderr[-500:]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 4)
def test_a_minute_of_damaged_vectors_neither_raises_nor_grows() -> None:
    decode = cast("Any", frame).decode
    chance = random.Random(20261122)
    seeds = _seeds()
    tracemalloc.start()
    before = 0
    turns = 0
    end = time.monotonic() + (SECONDS if importlib.util.find_spec("atheris") is None else 10)
    while time.monotonic() < end:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            at = chance.randint(0, len(data))
            data[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 3))
        start = time.monotonic()
        with contextlib.suppress(FrameError):
            decode(bytes(data))
        assert time.monotonic() - start < 2, data.hex()
        turns += 1
        if turns == 500:
            before = tracemalloc.get_traced_memory()[0]
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert turns > 500
    assert after - before < 100_000, f"{after - before} bytes more after {turns} frames"
    assert peak < 20_000_000
