"""Which test shows an emulated chip right by somebody else's figures: there is one for each driver.

An emulator that only its author has read shows that two errors agree. The tests are in `test_evidence_*` and others of
this folder; each names its source, and here is held that none is missing.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from tests.emul.cases import CASES

from citymote.testing.emul.catalogue import CATALOGUE

# Which test shows a driver's emulator right by somebody else's figures, bytes or program. Each names its source.
SHOWN = {
    "adc_supply": "test_evidence_outdoors.test_a_battery_through_the_heltec_boards_divider",
    "anemometer": "test_evidence_outdoors.test_the_anemometer_as_in_its_data_sheet",
    "bh1750": "test_evidence_outdoors.test_bh1750_example_of_the_technical_note",
    "bme280": "test_evidence_bosch.test_bme280_registers_of_a_real_chip",
    "bme688": "test_evidence_bosch.test_bme680_figures_of_a_real_chip",
    "electrochemical": "test_evidence_gases.test_registers_as_the_data_sheet_has_them",
    "gnss": "test_evidence_outdoors.test_gnss_sentences_carry_the_checksum_that_everybody_quotes",
    "ina219": "test_evidence_outdoors.test_ina219_example_of_the_datasheet",
    "lis3dh": "test_evidence_outdoors.test_lis3dh_output_registers",
    "ltr390": "test_evidence_outdoors.test_ltr390_sensitivity_of_the_datasheet",
    "motion": "test_evidence_outdoors.test_a_detector_is_blind_after_each_event_as_its_manual_says",
    "pms5003": "test_evidence_particles.test_pms5003_as_captured",
    "rain_gauge": "test_evidence_outdoors.test_the_rain_gauge_as_in_its_data_sheet",
    "replay": "test_evidence_outdoors.test_replay_checksum_is_the_catalogued_one",
    "s8": "test_evidence_climate.test_s8_examples_of_the_modbus_description",
    "scd30": "test_evidence_climate.test_scd30_example_of_the_interface_description",
    "scd4x": "test_evidence_climate.test_scd4x_examples_of_the_datasheet",
    "sds011": "test_evidence_particles.test_sds011_as_captured",
    "sen5x": "test_peers.test_sensirions_driver_reads_the_sen5x",
    "sen66": "test_peers.test_sensirions_driver_reads_the_sen66",
    "sensecap_one": "test_evidence_modbus.test_the_emulated_device_sends_published_bytes",
    "sgp40": "test_gas_index.test_words_of_the_sgp40_data_sheet",
    "sgp41": "test_gas_index.test_sensirions_driver_reads_the_sgp41",
    "sht3x": "test_peers.test_adafruits_driver_reads_the_sht3x",
    "sht4x": "test_evidence_climate.test_sht4x_reads_25_degrees_and_37_percent_from_the_words_that_mean_them",
    "sps30": "test_evidence_particles.test_sps30_as_captured",
    "sps30_uart": "test_evidence_particles.test_sps30_uart_as_captured",
    "veml7700": "test_evidence_veml7700.test_adafruits_driver_reads_the_veml7700",
    "wind_vane": "test_evidence_outdoors.test_the_stepped_vane_as_in_its_data_sheet",
}


def test_every_emulator_is_shown_right_by_somebody_elses_figures() -> None:
    assert set(SHOWN) == set(CATALOGUE)
    for name, test in SHOWN.items():
        module, _, function = test.partition(".")
        tests = importlib.import_module(f"tests.emul.{module}")
        text = inspect.getsource(inspect.unwrap(getattr(tests, function)))
        emulator = type(catalogued(name))
        own = {key for key, thing in vars(tests).items() if isinstance(thing, type) and issubclass(thing, emulator)}
        own |= {emulator.__name__, emulator.__module__.rpartition(".")[2] + "."}
        assert any(word in text for word in own), f"{test} does not use the emulator of {name}"


def catalogued(name: str) -> Any:
    case = next(case for case in CASES if case.driver == name)
    return case.part(dict(case.middle()))
