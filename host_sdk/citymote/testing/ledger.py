"""The memory of an emulated chip outside of Python's heap, and which radios it can have at once.

On a chip Wi-Fi, BLE, TLS and I2S take their buffers from what MicroPython's heap leaves, and fail when there is not
enough. The virtual node asks here (op NATIVE of the bridge), so that a test fails where a chip would. Figures:

- `esp32c3`: 205,504 bytes for Python's heap and everything else: 139,968 of heap with the largest further block at
  65,536 (MicroPython v1.22.2, micropython/micropython issue 14293). `esp32`: 259,504: 165,248 of heap beside 94,256
  free (v1.27, issue 18859). For other chips nobody has published a figure, and there is no limit here.
- C2, C3 and C6 cannot have Wi-Fi and BLE at once, however small the heap ("WiFi Out of Memory", issue 18859).
- Wi-Fi 40 KB and BLE 45 KB are what users report of ESP-IDF's station and of NimBLE (h2zero/NimBLE-Arduino issue 1046);
  TLS 20 KB are its two record buffers, 16 KB in and 4 KB out, a handshake takes more for a moment; I2S 39 KB are 32 KB
  of ring buffer and the DMA's own. None of these was measured on a chip of ours.
"""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass, field

KINDS = ("wifi", "ble", "tls", "i2s")
COSTS = {"wifi": 40 * 1024, "ble": 45 * 1024, "tls": 20 * 1024, "i2s": 39 * 1024}
TOTALS = {"esp32": 259_504, "esp32c3": 205_504}
"""Bytes for Python's heap and the native buffers together, by chip."""
ONE_RADIO = {"esp32c2", "esp32c3", "esp32c6"}
RADIOS = {"wifi", "ble"}


@dataclass
class Ledger:
    """What one start of a node holds. `heap` are the bytes that Python may use, all of them spoken for.

    Without a chip nothing is refused, and `used` and `peak` are still counted.
    """

    chip: str | None = None
    heap: int = 0
    peak: int = 0
    refused: list[str] = field(default_factory=list[str])
    _held: Counter[str] = field(default_factory=Counter[str])

    @property
    def total(self) -> int | None:
        """What the chip has, or None where nobody knows or asks."""
        return TOTALS.get(self.chip or "")

    @property
    def used(self) -> int:
        """Bytes held now, the heap included."""
        return self.heap + sum(COSTS[kind] * count for kind, count in self._held.items())

    def holds(self, kind: str) -> int:
        """How many of that kind are open."""
        return self._held[kind]

    def claim(self, kind: str) -> None:
        """Take what a radio, a connection or a bus needs; OSError(ENOMEM) where the chip could not give it."""
        if kind in RADIOS and self._held[kind]:
            return  # it is on
        wanted = self.used + COSTS[kind]
        other = RADIOS - {kind} if kind in RADIOS else set[str]()
        crowded = self.chip in ONE_RADIO and any(self._held[radio] for radio in other)
        if crowded or (self.total is not None and wanted > self.total):
            self.refused.append(kind)
            raise OSError(errno.ENOMEM, f"{kind}: {wanted} of {self.total} bytes, held are {dict(self._held)}")
        self._held[kind] += 1
        self.peak = max(self.peak, self.used)

    def release(self, kind: str) -> None:
        """Give it back; harmless when it was not held."""
        if self._held[kind]:
            self._held[kind] -= 1
