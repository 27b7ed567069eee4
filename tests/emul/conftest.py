"""Drivers are plain Python: here they run in CPython too, from the node's own folder."""

from __future__ import annotations

import sys
from pathlib import Path

FIRMWARE = str(Path(__file__).resolve().parents[2] / "firmware")
if FIRMWARE not in sys.path:
    sys.path.insert(0, FIRMWARE)
