"""Synthesised street sound has the level that was asked for, whoever looks and wherever he begins."""

from __future__ import annotations

import time

import numpy as np
import pytest

from citymote.testing.emul.microphone import CHIPS, I2SMicrophone
from citymote.testing.street import PERIOD, level, street

MINUTE = 60_000


def rendered(microphone: I2SMicrophone, start: int, milliseconds: int, chunk: int = 1000) -> np.ndarray:
    """The words from `start` on, asked for in chunks as a node does."""
    count = microphone.rate * chunk // 1000
    return np.frombuffer(
        b"".join(microphone.samples(start + k + chunk, count) for k in range(0, milliseconds, chunk)), "<i4"
    )


def spl(words: np.ndarray, chip: str, rate: int = 48000) -> float:
    """LAeq of words by exact weighting; the stretch has to be whole periods."""
    return level(words / 2**31, rate) + 94 - CHIPS[chip].sensitivity


@pytest.mark.parametrize("start", [0, 1, 12_345, 3_599_990])
def test_any_minute_has_its_level_wherever_it_begins(start: int) -> None:
    microphone = I2SMicrophone(lambda now: 57.3, heard="always")
    assert spl(rendered(microphone, start, MINUTE), "inmp441") == pytest.approx(57.3, abs=0.002)


@pytest.mark.parametrize("chip", sorted(CHIPS))
@pytest.mark.parametrize("wanted", [30.0, 64.5, 95.0])
def test_every_chip_shifts_out_the_level_of_its_data_sheet(chip: str, wanted: float) -> None:
    microphone = I2SMicrophone(lambda now: wanted, chip, heard="always")
    assert spl(rendered(microphone, 0, 1000 * PERIOD), chip) == pytest.approx(wanted, abs=0.02 if wanted > 30 else 0.03)


def test_insignificant_bits_are_zero() -> None:
    words = rendered(I2SMicrophone(lambda now: 60.0, "sph0645", heard="always"), 0, 1000)
    assert not np.any(words & 0x3FFF), "18 bits, left-justified"


def test_the_same_seed_gives_the_same_words_and_another_one_others() -> None:
    def words(seed: int) -> bytes:
        return rendered(
            I2SMicrophone(lambda now: 60.0, heard="always", self_noise=True, seed=seed), 500, 2000
        ).tobytes()

    assert words(5) == words(5)
    assert words(5) != words(6)
    assert words(5) != words(9)


def test_chunks_of_any_size_make_one_sound() -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    assert np.array_equal(rendered(microphone, 9000, 2000, 20), rendered(microphone, 9000, 2000, 500))


def test_a_level_beyond_the_overload_point_is_clipped_there() -> None:
    words = rendered(I2SMicrophone(lambda now: 125.0, "im69d130", heard="always"), 0, 1000)
    assert words.max() == 2**31 - 2**12
    assert words.min() == -(2**31)


def test_a_microphone_that_is_not_there_is_silent_and_has_no_levels() -> None:
    microphone = I2SMicrophone(lambda now: None)
    assert not any(microphone.samples(5000, 100))
    assert microphone.between(10_000, 0, 10_000) is None


def test_levels_behind_the_meter_are_the_energy_mean_of_the_time() -> None:
    microphone = I2SMicrophone(lambda now: 60.0 if now <= 30_000 else 50.0)
    levels = microphone.between(MINUTE, 0, MINUTE)
    assert levels is not None
    assert levels[0] == pytest.approx(1000 * 10 * np.log10((1e6 + 1e5) / 2), abs=1)
    laf_max, laf_min = levels[3], levels[4]
    assert laf_max > 60_000
    assert laf_min < 50_000
    assert list(levels[7:]) == sorted(levels[7:], reverse=True), "deciles begin with the loudest"


def test_one_minute_of_every_hour_is_heard() -> None:
    microphone = I2SMicrophone(lambda now: 60.0, minute=20)
    now, heard = 0, 0
    for _ in range(12):
        rendered_now, until = microphone.schedule(now)
        assert until > now
        heard += (until - now) * rendered_now
        now = until
    assert now == 5 * 3_600_000 + 21 * MINUTE
    assert heard == 6 * (MINUTE + 1000)


@pytest.mark.parametrize("rate", [48000, 24000, 16000])
def test_the_statistics_describe_the_sound(rate: int) -> None:
    sound = street(rate)
    assert sound.statistics[0] == 0
    assert level(sound.samples, rate) == pytest.approx(0, abs=1e-9)
    laeq, lceq, lzeq, laf_max, laf_min, las_max, lc_peak, *deciles = sound.statistics
    assert laf_min < laeq < las_max < laf_max < lc_peak
    assert laeq < lceq < lzeq
    assert laf_min <= deciles[-1] < deciles[0] <= laf_max
    assert 5000 < laf_max - laeq < 12000, "vehicles are heard"


def test_rendering_a_minute_is_cheap() -> None:
    """After the first, which makes the sound. The best of three: others may be using this machine."""
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    rendered(microphone, 0, 1000)
    best = 1e9
    for _ in range(3):
        began = time.perf_counter()
        rendered(microphone, 0, MINUTE)
        best = min(best, time.perf_counter() - began)
    assert best < 0.5


@pytest.mark.parametrize(
    ("arguments", "said"), [({"chip": "ear"}, "ear"), ({"heard": "often"}, "often"), ({"minute": 60}, "60")]
)
def test_what_does_not_exist_is_refused_by_name(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        I2SMicrophone(lambda now: 60.0, **arguments)  # type: ignore[arg-type]
