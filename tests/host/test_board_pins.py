"""Boards against their chips: what cannot work is found, with the pin and the reason; what can work is left alone."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from citymote import boards, resources
from citymote.boards import drivers

PLAIN = """
name = "plain"
platform = "esp32"
chip = "{chip}"
sources = ["a schematic"]
"""
# Every kind of bus, each at pins about which there is nothing to say.
GOOD = {
    "esp32": """
console = "uart"
[buses]
i2c0 = { kind = "i2c", id = 0, scl = 22, sda = 21 }
uart1 = { kind = "uart", id = 1, tx = 17, rx = 16 }
adc0 = { kind = "adc", pin = 34 }
counter0 = { kind = "counter", id = 0, pin = 27 }
i2s0 = { kind = "i2s", id = 0, sck = 26, ws = 25, sd = 33 }
[pins]
fan = { pin = 4, out = true }
[[sensors]]
driver = "sht4x"
bus = "i2c0"
[[sensors]]
driver = "pms5003"
bus = "uart1"
power = "fan"
""",
    "esp32s3": """
console = "usb"
[psram]
kind = "octal"
size = 8
[buses]
i2c0 = { kind = "i2c", id = 0, scl = 9, sda = 8 }
uart1 = { kind = "uart", id = 1, tx = 17, rx = 18 }
adc0 = { kind = "adc", pin = 1 }
[[sensors]]
driver = "sht4x"
bus = "i2c0"
""",
    "esp32c3": """
console = "usb"
[buses]
i2c0 = { kind = "i2c", id = 0, scl = 6, sda = 7 }
uart1 = { kind = "uart", id = 1, tx = 1, rx = 0 }
adc0 = { kind = "adc", pin = 3 }
[[sensors]]
driver = "sht4x"
bus = "i2c0"
""",
}

# (chip, what is changed, into what, the key, and words of the reason): each board is bad in one way.
BAD = {
    "output-on-input-only": ("esp32", "tx = 17", "tx = 35", "buses.uart1.tx", "GPIO35: it is input-only"),
    "i2c-on-input-only": ("esp32", "sda = 21", "sda = 36", "buses.i2c0.sda", "GPIO36: it is input-only"),
    "switch-on-input-only": ("esp32", "pin = 4, out", "pin = 39, out", "pins.fan", "GPIO39: it is input-only"),
    "no-pull-up-there": ("esp32", "pin = 27", "pin = 35", "buses.counter0.pin", "GPIO35: it is input-only and has no"),
    "flash": ("esp32", "scl = 22", "scl = 6", "buses.i2c0.scl", "GPIO6: the flash"),
    "flash-c3": ("esp32c3", "tx = 1", "tx = 12", "buses.uart1.tx", "GPIO12: the flash"),
    "psram": ("esp32s3", "tx = 17", "tx = 35", "buses.uart1.tx", "GPIO35: the board's octal PSRAM"),
    "strap-flash-voltage": ("esp32", "sda = 21", "sda = 12", "buses.i2c0.sda", "GPIO12: it is a strapping pin"),
    "strap-no-download": ("esp32", "scl = 22", "scl = 2", "buses.i2c0.scl", "high at reset keeps the board from being"),
    "strap-s3": ("esp32s3", "rx = 18", "rx = 45", "buses.uart1.rx", "GPIO45: it is a strapping pin, needs low"),
    "strap-s3-46": ("esp32s3", "rx = 18", "rx = 46", "buses.uart1.rx", "GPIO46: it is a strapping pin"),
    "usb": ("esp32s3", "sda = 8", "sda = 19", "buses.i2c0.sda", "GPIO19: USB Serial/JTAG is there"),
    "usb-c3": ("esp32c3", "sda = 7", "sda = 18", "buses.i2c0.sda", "GPIO18: USB Serial/JTAG is there"),
    "console-pin": ("esp32", "sda = 21", "sda = 3", "buses.i2c0.sda", "GPIO3: the console is there (UART 0)"),
    "console-uart": ("esp32", 'id = 1, tx', 'id = 0, tx', "buses.uart1.id", "uart 0: the console is there"),
    "adc2-with-wifi": ("esp32", "pin = 34", "pin = 13", "buses.adc0.pin", "GPIO13: ADC2 belongs to Wi-Fi"),
    "adc2-s3": ("esp32s3", "pin = 1 ", "pin = 12 ", "buses.adc0.pin", "GPIO12: a reading of ADC2 fails whenever Wi-Fi"),
    "adc2-errata": ("esp32c3", "pin = 3", "pin = 5", "buses.adc0.pin", "GPIO5: ADC2 of this chip does not work"),
    "no-adc": ("esp32", "pin = 34", "pin = 19", "buses.adc0.pin", "GPIO19: no ADC is there"),
    "no-such-pin": ("esp32", "sda = 21", "sda = 24", "buses.i2c0.sda", "GPIO24: ESP32 has no such pin"),
    "no-such-pin-c3": ("esp32c3", "rx = 0", "rx = 22", "buses.uart1.rx", "GPIO22: ESP32-C3 has no such pin"),
    "twice": ("esp32", "rx = 16", "rx = 22", "buses.uart1.rx", "GPIO22: buses.i2c0.scl has it already"),
    "switch-twice": ("esp32", "pin = 4, out", "pin = 17, out", "pins.fan", "GPIO17: buses.uart1.tx has it already"),
    "reserved": ("esp32", "[buses]", "[reserved]\nled = 21\n[buses]", "reserved.led", "GPIO21: buses.i2c0.sda has it"),
    "reserved-nowhere": ("esp32", "[buses]", "[reserved]\nled = 30\n[buses]", "reserved.led", "GPIO30: ESP32 has no"),
    "too-many-i2c": ("esp32c3", "kind = \"i2c\", id = 0", "kind = \"i2c\", id = 1", "buses.i2c0.id", "ESP32-C3 has 1"),
    "too-many-uarts": ("esp32", "id = 1, tx", "id = 3, tx", "buses.uart1.id", "uart 3: ESP32 has 3"),
    "too-many-i2s": ("esp32", "\"i2s\", id = 0", "\"i2s\", id = 2", "buses.i2s0.id", "i2s 2: ESP32 has 2"),
    "no-counter-on-c3": (
        "esp32c3", "[buses]", '[buses]\ncups = { kind = "counter", id = 0, pin = 10 }', "buses.cups.id", "has 0 (none)",
    ),
    "unit-twice": (
        "esp32", "[buses]", '[buses]\nsecond = { kind = "i2c", id = 0, scl = 18, sda = 19 }', "buses.i2c0.id",
        "i2c 0: bus second has it",
    ),
    "pin-for-a-bus": ("esp32", 'bus = "uart1"', 'bus = "fan"', "sensors[2].bus", "pms5003 wants uart, fan is pin"),
    "address-twice": (
        "esp32", '[[sensors]]\ndriver = "pms',
        '[[sensors]]\ndriver = "sht3x"\nbus = "i2c0"\n[[sensors]]\ndriver = "pms', "sensors[2].address",
        "0x44: sensors[1] (sht4x) has that address on i2c0 already",
    ),
    "address-of-the-board": (
        "esp32", "sda = 21 }", "sda = 21, others = { oled = 0x44 } }", "sensors[1].address", "buses.i2c0.others.oled",
    ),
    "no-such-address": (
        "esp32", 'bus = "i2c0"', 'bus = "i2c0"\naddress = 0x50', "sensors[1].address", "0x50: sht4x can have 0x44",
    ),
    "no-such-driver": ("esp32", '"sht4x"', '"sht9x"', "sensors[1].driver", "there is no driver sht9x"),
    "wrong-bus": ("esp32", 'bus = "i2c0"', 'bus = "adc0"', "sensors[1].bus", "sht4x wants i2c, adc0 is adc"),
    "no-such-setting": (
        "esp32", 'bus = "i2c0"', 'bus = "i2c0"\nsettings = { adress = 0x44 }', "sensors[1].settings.adress",
        "sht4x has no such setting, it has address",
    ),
    "line-with-two": (
        "esp32", '[[sensors]]\ndriver = "pms', '[[sensors]]\ndriver = "s8"\nbus = "uart1"\n[[sensors]]\ndriver = "pms',
        "sensors[3].bus", "uart1 has sensor 2 already",
    ),
    "instance-twice": (
        "esp32", '[[sensors]]\ndriver = "pms',
        '[[sensors]]\ndriver = "sht4x"\nbus = "i2c0"\naddress = 0x45\n[[sensors]]\ndriver = "pms',
        "sensors[2].instance", "sensor 1 is a sht4x of instance 0 already",
    ),
}  # fmt: skip


def written(folder: Path, chip: str, text: str) -> Path:
    path = folder / "plain" / "board.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(PLAIN.replace("{chip}", chip) + text)
    return path


@pytest.mark.parametrize("chip", GOOD)
def test_a_good_board_has_no_findings(chip: str, tmp_path: Path) -> None:
    assert boards.check(written(tmp_path, chip, GOOD[chip])) == []


def test_at_least_twenty_bad_boards_are_tried() -> None:
    assert len(BAD) >= 20


@pytest.mark.parametrize("name", BAD)
def test_a_bad_board_is_caught_by_the_right_error(name: str, tmp_path: Path) -> None:
    chip, old, new, key, reason = BAD[name]
    assert GOOD[chip].count(old) == 1
    path = written(tmp_path, chip, GOOD[chip].replace(old, new))
    errors = [found for found in boards.check(path) if found.level == boards.ERROR]
    assert [found.key for found in errors] == [key], [str(found) for found in errors]
    assert reason in errors[0].reason
    assert errors[0].where == str(path)
    with pytest.raises(boards.BoardError) as raised:
        boards.load(path)
    assert str(path) in str(raised.value)
    assert key in str(raised.value)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("chip", "old", "new", "reason"),
    [
        ("esp32", "pin = 4, out", "pin = 0, out", "needs high at reset: low at reset waits for a download"),
        ("esp32s3", 'console = "usb"', 'console = "uart"', ""),
        ("esp32", "sda = 21", "sda = 13", "JTAG"),
        ("esp32c3", "tx = 1", "tx = 21", "write their log"),
        ("esp32c3", "tx = 1", "tx = 8", "keeps the board from being flashed"),
    ],
    ids=["strap-unknown", "console-elsewhere", "jtag", "boot-log", "strap-download"],
)
def test_what_may_work_is_a_warning(chip: str, old: str, new: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, chip, GOOD[chip].replace(old, new))
    found = boards.check(path)
    assert {one.level for one in found} <= {boards.WARNING}
    assert any(reason in one.reason for one in found) or not reason
    assert boards.load(path)["board"] == "plain"


def test_a_line_that_idles_as_the_strap_wants_it_is_no_finding(tmp_path: Path) -> None:
    text = GOOD["esp32"].replace("scl = 22", "scl = 5").replace("rx = 16", "rx = 0")
    found = [one for one in boards.check(written(tmp_path, "esp32", text)) if "strapping" in one.reason]
    assert [one.key for one in found if one.level == boards.ERROR] == []


def test_a_maker_who_knows_better_accepts_a_pin_with_a_reason(tmp_path: Path) -> None:
    text = GOOD["esp32"].replace("sda = 21", "sda = 12").replace("[buses]", '[accepted]\n12 = "3.3 V fuse"\n[buses]')
    (found,) = [one for one in boards.check(written(tmp_path, "esp32", text)) if one.key == "buses.i2c0.sda"]
    assert found.level == boards.WARNING
    assert "accepted: 3.3 V fuse" in found.reason


def test_a_pin_that_is_not_there_cannot_be_accepted(tmp_path: Path) -> None:
    text = GOOD["esp32"].replace("sda = 21", "sda = 24").replace("[buses]", '[accepted]\n24 = "I want it"\n[buses]')
    assert boards.check(written(tmp_path, "esp32", text))[0].level == boards.ERROR


def test_without_wifi_adc2_is_free(tmp_path: Path) -> None:
    text = 'radio = ["ble", "lora"]' + GOOD["esp32"].replace("pin = 34", "pin = 14")
    assert [one for one in boards.check(written(tmp_path, "esp32", text)) if one.level == boards.ERROR] == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ('chip = "esp32c9"', "chip 'esp32c9': known are esp32"),
        ('chip = "esp32c3"\nradio = ["lte"]', "radio 'lte': a board with ESP32-C3 may have wifi, ble, lora"),
        ('chip = "esp32"\nconsole = "usb"', "console 'usb': known are uart"),
        ('chip = "esp32"\n[flash]\nsize = 5', "flash.size: megabytes are expected"),
        ('chip = "esp32"\n[psram]\nsize = 8', "psram: kind"),
        ('chip = "esp32"\n[pins]\nfan = { pin = 4, inverted = true }', "pins.fan: 'inverted' means nothing"),
        ('chip = "esp32"\n[pins]\nfan = { pin = 4, out = true, pull_up = true }', "an output has no pull-up"),
        ('chip = "esp32"\n[reserved]\nled = "4..7"', "reserved.led"),
        ('chip = "esp32"\n[accepted]\nsda = "why"', "accepted: 'sda': the number of a pin"),
        ('chip = "esp32"\n[selftest]\nrssi = 40', "selftest: rssi: a number from -120 to 0"),
        ('chip = "esp32"\n[selftest.limits]\ntemprature = [1, 2]', "temprature: the registry has no such quantity"),
        ('chip = "esp32"\n[selftest.limits]\ntemperature = [30, 2]', "[lowest, highest] is expected, in the quantity"),
        ('chip = "esp32"\n[site]\naltitude = "high"', "site.altitude: metres"),
        ('chip = "esp32"\ncorrections = ["pm2_6"]', "corrections: pm2_6"),
        ('chip = "esp32"\ncorrections = ["pm2_5"]', "corrections: pm2_5: the node computes no such correction"),
    ],
)
def test_a_board_that_says_what_cannot_be_meant_is_refused(values: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(f'name = "x"\nplatform = "esp32"\n{values}\n')
    with pytest.raises(boards.BoardError) as raised:
        boards.describe(path)
    assert reason in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", [name for name in boards.names() if name != "virtual"])
def test_every_shipped_board_is_a_product_whose_pins_have_a_source(name: str) -> None:
    one = boards.describe(name)
    assert [str(found) for found in boards.check(name) if found.level == boards.ERROR] == []
    assert len(one.sources) >= 2
    assert one.module
    assert one.node["sensors"]
    assert one.selftest.limits


def test_there_are_ten_boards_and_every_chip_has_one() -> None:
    assert len(boards.names()) >= 10
    made = [boards.describe(name).chip for name in boards.names()]
    assert {chip.key for chip in made if chip} >= {"esp32", "esp32s3", "esp32c3", "esp32c6"}


@pytest.mark.parametrize("key", boards.chips())
def test_a_chips_table_agrees_with_itself(key: str) -> None:
    chip = boards.chip(key)
    assert chip.sources
    for pins in (chip.input_only, chip.adc1, chip.adc2, chip.flash_pins, chip.usb, chip.strapping, chip.caution):
        assert set(pins) <= chip.gpio
    assert not chip.adc1 & chip.adc2
    assert not chip.flash_pins & chip.adc1


def test_a_sensors_address_becomes_its_setting(tmp_path: Path) -> None:
    text = GOOD["esp32"].replace('driver = "sht4x"\nbus = "i2c0"', 'driver = "sht4x"\nbus = "i2c0"\naddress = 0x45')
    assert boards.load(written(tmp_path, "esp32", text))["sensors"][0]["settings"] == {"address": 0x45}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('driver = "sps30"\naddress = 0x70', "always 0x69"),
        ('driver = "sht4x"\naddress = 0x44\nsettings = { address = 0x44 }', "said twice"),
        ('driver = "pms5003"\naddress = 0x44', "it is not on I2C"),
    ],
)
def test_an_address_that_the_driver_does_not_have_is_refused(said: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(boards.BoardError, match=reason):
        boards.load(written(tmp_path, "esp32", GOOD["esp32"].replace('driver = "sht4x"', said)))


def test_what_a_driver_wants_is_read_from_its_source() -> None:
    sps30, sht4x, meter = (drivers.driver(name) for name in ("sps30", "sht4x", "sound_meter"))
    assert sps30 is not None
    assert (sps30.buses, sps30.address) == (("i2c",), 0x69)
    assert sht4x is not None
    assert (sht4x.address, sht4x.addresses) == (0x44, (0x44, 0x45, 0x46))
    assert meter is not None
    assert meter.buses == ("i2s",)
    assert drivers.driver("scd30").address == 0x61  # type: ignore[union-attr]  # its bus is its base class's
    assert drivers.driver("../fault") is None


@pytest.mark.parametrize("name", drivers.names())
def test_every_driver_says_its_bus_and_on_i2c_its_address(name: str) -> None:
    found = drivers.driver(name)
    assert found is not None
    assert found.buses
    assert ("i2c" in found.buses) <= (found.address is not None)


# -- boards of one's own ----------------------------------------------------------------------------------------------


def test_a_board_folder_outside_the_checkout_works_by_path_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "esp32c3", GOOD["esp32c3"])
    assert boards.load(path)["board"] == boards.load(path.parent)["board"] == boards.load(str(path))["board"] == "plain"
    assert "plain" not in boards.names()
    monkeypatch.setenv(boards.PATH_VARIABLE, str(tmp_path))
    assert "plain" in boards.names()
    assert boards.load("plain")["board"] == "plain"


def test_ones_own_folder_of_boards_needs_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "citymote" / "boards"
    folder.mkdir(parents=True)
    written(folder, "esp32c3", GOOD["esp32c3"])
    assert boards.load("plain")["board"] == "plain"


def test_ones_own_board_comes_before_a_shipped_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = boards.add("xiao-esp32c3", tmp_path, like="xiao-esp32c3", title="Ours")
    monkeypatch.setenv(boards.PATH_VARIABLE, str(tmp_path))
    assert boards.find("xiao-esp32c3") == path
    assert boards.describe("xiao-esp32c3").title == "Ours"


@pytest.mark.parametrize("name", boards.names())
def test_a_copy_of_a_board_is_that_board_under_another_name(name: str, tmp_path: Path) -> None:
    path, found = boards.add("copy", tmp_path, like=name, title='A "copy" \\ of it')
    assert [one for one in found if one.level == boards.ERROR] == []
    made, was = (tomllib.loads(one.read_text()) for one in (path, boards.find(name)))
    assert (made.pop("name"), made.pop("title")) == ("copy", 'A "copy" \\ of it')
    del was["name"], was["title"]
    assert made == was


@pytest.mark.parametrize("key", boards.chips())
def test_a_board_from_scratch_has_nothing_wrong_but_its_missing_source(key: str, tmp_path: Path) -> None:
    path, found = boards.add("fresh", tmp_path, chip_name=key)
    assert [one.key for one in found] == ["sources"]
    assert boards.load(path)["chip"] == key


def test_adding_overwrites_nothing_and_takes_no_strange_name(tmp_path: Path) -> None:
    path, _ = boards.add("mine", tmp_path, chip_name="esp32")
    before = path.read_text()
    with pytest.raises(boards.BoardError, match="there already"):
        boards.add("mine", tmp_path, like="virtual")
    assert path.read_text() == before
    for name in ("../mine", "Mine", "", "a/b"):
        with pytest.raises(boards.BoardError, match="no name for a board"):
            boards.add(name, tmp_path, chip_name="esp32")
    with pytest.raises(boards.BoardError, match="another board or from a chip"):
        boards.add("other", tmp_path)


# -- wiring for pages -------------------------------------------------------------------------------------------------


def test_wires_say_for_each_sensor_where_it_is_connected() -> None:
    found = {(wire.driver, wire.bus): wire for wire in boards.wires(["esp32-devkitc", "virtual"])}
    assert found["sht4x", "i2c0"].board in ("esp32-devkitc", "virtual")
    (climate,) = [wire for wire in boards.wires(["esp32-devkitc"]) if wire.driver == "sht4x"]
    assert climate.text == "i2c0: SDA GPIO21, SCL GPIO22, address 0x44"
    (dust,) = [wire for wire in boards.wires(["esp32-devkitc"]) if wire.driver == "pms5003"]
    assert dust.text == "uart1: TX GPIO17, RX GPIO16, supply switched by GPIO4"
    (virtual,) = [wire for wire in boards.wires(["virtual"]) if wire.driver == "pms5003"]
    assert virtual.text == "uart0: no pins: virtual"


def test_every_board_is_in_the_wires() -> None:
    assert {wire.board for wire in boards.wires()} == set(boards.names())


def test_what_a_node_is_given_is_plain_json_without_the_workshops_business() -> None:
    for name in boards.names():
        made: dict[str, Any] = boards.load(name)
        assert json.loads(json.dumps(made)) == made
        assert not {"selftest", "sources", "reserved", "accepted", "title"} & set(made)
        for bus in made["buses"].values():
            assert not {"others", "shared"} & set(bus)


def test_the_chips_tables_are_in_the_boards_folder() -> None:
    assert (resources.boards() / "chips" / "esp32c3.toml").is_file()
