"""The meter's RISC-V code under QEMU, where it is installed, block by block against the reference.

The interpreters of tests/support/machine are ours, QEMU is not: a slip in both would have to be the same.

`apt-get install qemu-user-static` (Debian 13 and Ubuntu 26.04: `qemu-user`), or `tools/get_qemu.py` for a copy in our
cache.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.firmware.test_sound_bands import BANKS, hard, reference
from tests.firmware.test_sound_bits import equalised, expected, first_difference, signals
from tests.support.machine import qemu
from tests.support.machine.metering import Bands, Meter, flatten
from tests.support.sound import words

import get_qemu

pytestmark = pytest.mark.skipif(
    get_qemu.find() is None,
    reason="no qemu-riscv32 here: the RISC-V code is run by our own interpreter only; tools/get_qemu.py fetches it",
)
BLOCKS = 8


@pytest.mark.parametrize("rate", [48000, 24000, 16000])
def test_levels_are_the_references_bit_for_bit(rate: int) -> None:
    for name, signal in signals(rate, BLOCKS).items():
        if rate != 48000 and name not in ("full-scale square of 20 Hz", "clipped noise"):
            continue
        got = Meter("rv32imc", rate, qemu.Qemu).feed(words(signal).tolist())
        assert not first_difference(np.array(got), expected(rate, name, BLOCKS)), name


@pytest.mark.parametrize(("bands", "rate"), list(BANKS))
def test_bands_are_the_references_bit_for_bit(bands: int, rate: int) -> None:
    for name, signal in hard(3).items():
        samples = words(signal).tolist()
        got = Bands("rv32imc", BANKS[bands, rate], qemu.Qemu).feed(samples)
        assert got == reference(BANKS[bands, rate], samples, rate), name


def test_the_equaliser_is_its_reference_bit_for_bit() -> None:
    numbers = [158, 347, 158, 347]
    for name, signal in signals(48000, 4).items():
        samples = words(signal).tolist()
        assert flatten("rv32imc", samples, numbers, qemu.Qemu)[0] == equalised(samples, numbers), name
