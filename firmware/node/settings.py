"""What the owner decides: checked, versioned, kept atomically in /config.

Three layers: the defaults here, the deployed `settings.json` of the factory or the simulation, and what commands have
changed since, which alone is stored. A value outside its limits is refused with a sentence that says which key, why, and
what is allowed; a bad deployed value leaves that one key at its default, so a typing error does not silence a
node. Secrets are marked: `public()` hides them, and the journal is told their text before anything can log it.
"""

import json
from binascii import unhexlify

from .files import load, save

VERSION = 1  # of the stored form; an older one is read, a newer one is refused and kept

_BOOL, _INT, _TEXT, _HEX, _WORD = range(5)

# key, kind, default, lowest or shortest or the words allowed, highest or longest, secret
TABLE = (
    ("broker_host", _TEXT, "", 0, 253, False),
    ("broker_port", _INT, 0, 0, 65535, False),  # 0: 1883, or 8883 with TLS
    ("broker_tls", _BOOL, False, 0, 0, False),
    ("broker_user", _TEXT, "", 0, 128, False),
    ("broker_password", _TEXT, "", 0, 256, True),
    ("broker_ca", _TEXT, "", 0, 4096, False),  # PEM, or DER in hexadecimal
    ("broker_cert", _TEXT, "", 0, 4096, False),
    ("broker_key", _TEXT, "", 0, 4096, True),
    ("broker_name", _TEXT, "", 0, 253, False),  # the name in the server's certificate where it is not broker_host
    ("broker_keepalive", _INT, 300, 0, 3600, False),  # seconds; 0: none
    ("publish_rate", _INT, 600, 0, 60000, False),  # frames a minute after a first burst; 0: no budget
    ("interval", _INT, 120, 1, 86400, False),  # seconds between rows; has to divide a day
    ("batch", _INT, 5, 1, 255, False),  # rows a frame while the link keeps up
    ("batch_backlog", _INT, 60, 1, 255, False),  # rows a frame while it does not
    ("packed", _BOOL, False, 0, 0, False),
    ("max_delay", _INT, 3600, 0, 604800, False),  # seconds that a row may wait for its batch; 0: as long as it takes
    ("store_capacity", _INT, 0, 0, 1 << 28, False),  # bytes; 0: what fits
    ("collector_key", _HEX, "", 33, 33, False),  # compressed P-256 key; set: frames are sealed for it
    ("sound", _WORD, "on", ("on", "off"), 0, False),
    ("time_source", _WORD, "network", ("network", "none"), 0, False),
    ("time_interval", _INT, 21600, 60, 604800, False),  # seconds between two questions for the time
    ("status_interval", _INT, 3600, 0, 604800, False),  # seconds between status frames; 0: none
    ("log_level", _INT, 2, 0, 3, False),
    ("network", None, None, 0, 0, True),  # how the uplink is joined: for the HAL alone
    ("until", _INT, 0, 0, 0xFFFFFFFF, False),  # virtual node: the last instant to sample; 0: for ever
    ("drain", _INT, 900, 0, 604800, False),  # virtual node: seconds that the end of a run waits for acknowledgements
)


class SettingsError(ValueError):
    """A setting that cannot be taken; says which, why, and what is allowed."""


def _row(key):
    for row in TABLE:
        if row[0] == key:
            return row
    raise SettingsError("%s: no such setting" % (key,))


def check(key, value):
    """The value if it may be set; SettingsError otherwise. A secret's value is never in the message."""
    _, kind, _, low, high, _ = _row(key)
    if kind == _BOOL:
        if value is not True and value is not False:
            raise SettingsError("%s: true or false" % key)
    elif kind == _INT:
        if type(value) is not int:
            raise SettingsError("%s: a whole number" % key)
        if not low <= value <= high:
            raise SettingsError("%s: %d is not between %d and %d" % (key, value, low, high))
        if key == "interval" and 86400 % value:
            raise SettingsError("interval: %d s do not divide a day, so rows would not keep to the clock" % value)
    elif kind == _WORD:
        if value not in low:
            raise SettingsError("%s: one of %s" % (key, ", ".join(low)))
    elif kind is None:
        if value is not None and type(value) is not dict:
            raise SettingsError("%s: an object" % key)
    else:
        if type(value) is not str:
            raise SettingsError("%s: a text" % key)
        if kind == _HEX:
            if value:
                try:
                    size = len(unhexlify(value))
                except ValueError:
                    raise SettingsError("%s: hexadecimal digits" % key)
                if not low <= size <= high:
                    raise SettingsError("%s: %d bytes, not %d" % (key, low, size))
        elif not low <= len(value) <= high:
            raise SettingsError("%s: a text of %d to %d characters" % (key, low, high))
    return value


class Settings:
    """The effective settings: `settings["interval"]`."""

    def __init__(self, path, deployed=None):
        self._path = path
        self.problems = []  # sentences about values that could not be taken
        self._values = {}
        self._changed = {}
        self._foreign = False  # stored by a later version of this firmware: not to be overwritten
        for key in sorted(deployed or {}):
            self._take(self._values, key, deployed[key])
        self._load()

    def _take(self, into, key, value):
        try:
            into[key] = check(key, value)
        except SettingsError as e:
            self.problems.append(str(e))

    def _load(self):
        data = load(self._path, 16384)
        if data is None:
            return
        try:
            stored = json.loads(data)
            version = stored["version"]
            values = stored["values"]
        except (ValueError, KeyError, TypeError):
            self.problems.append("stored settings: not readable, the deployed ones are used")
            return
        if version > VERSION:
            self._foreign = True
            self.problems.append("stored settings: version %d, this firmware knows %d" % (version, VERSION))
        for key in sorted(values):
            self._take(self._changed, key, values[key])

    def __getitem__(self, key):
        for layer in (self._changed, self._values):
            if key in layer:
                return layer[key]
        return _row(key)[2]

    def change(self, values):
        """Check all of `values`, then store them together: all are in force, or (SettingsError) none.

        A value of None takes the change back; the deployed value or the default is in force again.
        """
        if self._foreign:
            raise SettingsError("stored settings: of a later version, not overwritten")
        changed = dict(self._changed)
        for key in sorted(values):
            if values[key] is None:
                _row(key)
                changed.pop(key, None)
            else:
                changed[key] = check(key, values[key])
        save(self._path, json.dumps({"version": VERSION, "values": changed}).encode())
        self._changed = changed

    def secrets(self):
        """The texts that must not appear in a log."""
        found = [self[row[0]] for row in TABLE if row[5] and type(self[row[0]]) is str and self[row[0]]]
        network = self["network"] or {}
        return found + [network[key] for key in sorted(network) if key != "ssid" and type(network[key]) is str]

    def public(self):
        """(key, value) of every setting in the order of the table, a secret only as whether it is set."""
        return [(row[0], (self[row[0]] not in (None, "")) if row[5] else self[row[0]]) for row in TABLE]
