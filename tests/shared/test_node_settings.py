"""The node's settings and journal: checked, layered, kept atomically, silent about secrets."""

import json
import os
import sys

if sys.implementation.name != "micropython":
    sys.path.append("firmware")

from node.journal import Journal, reason
from node.settings import Settings, SettingsError
from node.settings_table import TABLE, check

FOLDER = "build/tmp"


def path(name):
    for folder in ("build", FOLDER):
        try:
            os.mkdir(folder)
        except OSError:
            pass
    name = FOLDER + "/settings-" + sys.implementation.name + name
    for end in ("", ".new"):
        try:
            os.remove(name + end)
        except OSError:
            pass
    return name


def refused(key, value):
    try:
        check(key, value)
    except SettingsError as e:
        return str(e)
    raise AssertionError("%s = %r was taken" % (key, value))


def test_defaults_hold_where_nobody_said_anything():
    s = Settings(path("defaults"))
    assert (s["interval"], s["batch"], s["broker_tls"], s["collector_key"]) == (120, 5, False, "")
    assert s.problems == []


def test_every_default_is_one_that_may_be_set():
    for row in TABLE:
        if row[0] != "network":
            check(row[0], row[2])


def test_a_refusal_says_which_setting_why_and_what_is_allowed():
    assert refused("interval", 0) == "interval: 0 is not between 1 and 86400"
    assert refused("interval", 7).startswith("interval: 7 s do not divide a day")
    assert refused("interval", "120") == "interval: a whole number"
    assert refused("interval", True) == "interval: a whole number"
    assert refused("broker_tls", 1) == "broker_tls: true or false"
    assert refused("broker_host", "x" * 300) == "broker_host: a text of 0 to 253 characters"
    assert refused("sound", "loud") == "sound: one of on, off"
    assert refused("collector_key", "zz") == "collector_key: hexadecimal digits"
    assert refused("collector_key", "02ab") == "collector_key: 33 bytes, not 2"
    assert refused("store_capacity", 5).startswith("store_capacity: 5 is too little")
    assert refused("colour", 1) == "colour: no such setting"


def test_a_refusal_never_shows_a_secret():
    assert "hunter2" not in refused("broker_password", "hunter2" * 100)


DER = bytes(range(48, 128))
PEM = (
    "-----BEGIN CERTIFICATE-----\n"
    "MDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5f\n"
    "YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=\n"
    "-----END CERTIFICATE-----\n"
)


def test_a_certificate_is_kept_as_its_bytes_whoever_gave_it_and_however():
    name = path("certificate")
    s = Settings(name, {"broker_ca": PEM, "broker_cert": DER.hex(), "broker_key": "neither the one nor the other"})
    assert (s["broker_ca"], s["broker_cert"]) == (DER, DER)
    assert s["broker_key"] == "neither the one nor the other", "the link says so"
    s.change({"broker_cert": PEM, "broker_ca": None})
    assert (s["broker_ca"], s["broker_cert"]) == (DER, DER)
    again = Settings(name)
    assert (again["broker_ca"], again["broker_cert"]) == ("", DER)
    again.trying({"broker_ca": DER.hex(), "broker_cert": None})
    assert (again["broker_ca"], again["broker_cert"]) == (DER, "")
    assert Settings(name)["broker_cert"] == DER, "a trial is not stored"


def test_a_bad_deployed_value_costs_that_one_key():
    s = Settings(path("deployed"), {"interval": 77777, "batch": 3, "colour": "red"})
    assert (s["interval"], s["batch"]) == (120, 3)
    assert len(s.problems) == 2


def test_changes_outlive_a_restart_and_win_over_what_was_deployed():
    name = path("changes")
    Settings(name, {"interval": 60, "batch": 3}).change({"interval": 300})
    again = Settings(name, {"interval": 60, "batch": 4})
    assert (again["interval"], again["batch"]) == (300, 4)
    again.change({"interval": None})
    assert Settings(name, {"interval": 60})["interval"] == 60


def test_a_change_is_made_whole_or_not_at_all():
    name = path("whole")
    s = Settings(name)
    try:
        s.change({"batch": 9, "interval": -1})
        raise AssertionError("taken")
    except SettingsError:
        pass
    assert s["batch"] == 5
    assert Settings(name)["batch"] == 5


def test_a_damaged_file_is_an_absent_one():
    name = path("damaged")
    Settings(name).change({"batch": 9})
    with open(name, "rb") as f:
        data = f.read()
    for i in range(len(data)):
        with open(name, "wb") as f:
            f.write(data[:i])
        assert Settings(name)["batch"] == 5, "cut to %d bytes" % i
    with open(name, "wb") as f:
        f.write(data)
    assert Settings(name)["batch"] == 9


def test_settings_of_a_later_firmware_are_read_and_not_overwritten():
    from node.files import save

    name = path("later")
    save(name, b'{"version": 2, "values": {"batch": 9, "novelty": 1}}')
    s = Settings(name)
    assert s["batch"] == 9
    try:
        s.change({"batch": 4})
        raise AssertionError("overwritten")
    except SettingsError:
        pass


def test_public_settings_say_only_whether_a_secret_is_set():
    s = Settings(path("public"), {"broker_password": "hunter2", "network": {"ssid": "pole", "password": "letmein"}})
    shown = dict(s.public())
    assert shown["broker_password"] is True
    assert shown["broker_key"] is False
    assert "hunter2" not in str(s.public()) and "letmein" not in str(s.public())
    assert sorted(s.secrets()) == ["hunter2", "letmein"]


def journal(level=3):
    said = []
    made = Journal(lambda level, text: said.append((level, text)), lambda: 7000, level)
    return made, said


def test_a_secret_is_shown_nowhere():
    log, said = journal()
    log.redact("hunter2")
    log(1, "login with hunter2 failed: " + reason(OSError("hunter2")))
    assert "hunter2" not in str(said) + str(log.lines())
    assert said[0][1].count("***") == 2


def test_the_ring_keeps_the_last_lines_and_counts_all():
    log, said = journal(2)
    for i in range(100):
        log(2, "line %d" % i)
    log(3, "detail")
    assert len(said) == 100
    assert len(log.lines()) == 24
    assert log.lines()[-1] == (7, 2, "line 99")
    assert log.counts == [0, 0, 100, 1]


def test_lines_are_found_by_level_and_kept_short():
    log, _ = journal()
    log(0, "x" * 500)
    log(2, "information")
    assert len(log.lines(0)) == 1
    assert len(log.lines(0)[0][2]) == 120


def test_what_a_later_version_has_stored_outlives_an_older_one_and_its_changes():
    from node.files import load, save

    name = path("newer")
    save(name, b'{"version": 1, "values": {"interval": 60, "of_tomorrow": [1, 2], "profile": "dream"}}')
    older = Settings(name)
    assert (older["interval"], older["profile"]) == (60, "on"), "what it knows is in force, the rest at its default"
    assert len(older.problems) == 2
    older.change({"batch": 7})
    stored = json.loads(load(name, 16384))["values"]
    assert stored == {"interval": 60, "batch": 7, "of_tomorrow": [1, 2], "profile": "dream"}
    older.change({"profile": "sleep"})
    assert Settings(name)["profile"] == "sleep", "what the owner says now counts"


def test_what_an_older_version_has_stored_is_in_force_in_a_later_one():
    from node.files import save

    name = path("older")
    save(name, b'{"version": 1, "values": {"interval": 600}}')
    s = Settings(name)
    assert (s["interval"], s["update_window"], s.problems) == (600, "", [])
