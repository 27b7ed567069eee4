"""What the owner decides: checked, versioned, kept atomically in /config.

Three layers: the defaults of `settings_table`, the deployed `settings.json` of the factory or the simulation, and
what commands have changed since, which alone is stored. A value outside its limits is refused with a sentence that
says which key, why, and what is allowed; a bad deployed value leaves that one key at its default, so a typing error
does not silence a node. What a later version has stored and this one does not know is kept as it is: an application
that comes back after a trial neither stumbles over it nor loses it. Secrets are marked: `public()` hides them, and the
journal is told their text before anything can log it. Certificates and their keys are kept as the bytes of their DER.
"""

import json
from binascii import hexlify

from .files import load, save

VERSION = 1  # of the stored form; an older one is read, a newer one is refused and kept


class SettingsError(ValueError):
    """A setting that cannot be taken; says which and why, never a secret's value."""


class Settings:
    """The effective settings: `settings["interval"]`."""

    def __init__(self, path, deployed=None):
        self._path = path
        self.problems = []  # sentences about values that could not be taken
        self._deployed = {}
        self._changed = {}
        self._kept = {}  # stored, but not for this version: an unknown key, a value that it may not have
        self._foreign = False  # stored by a later version of this firmware: not to be overwritten
        self._take(self._deployed, deployed or {})
        self._load()
        self._merge()

    def _take(self, into, values, kept=None):
        from .settings_table import check, held

        for key in sorted(values):
            try:
                into[key] = held(key, check(key, values[key]))
            except SettingsError as e:
                self.problems.append(str(e))
                if kept is not None:
                    kept[key] = values[key]

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
        self._take(self._changed, values, self._kept)

    def _merge(self):
        from .settings_table import TABLE

        self._values = {}
        for row in TABLE:
            key = row[0]
            self._values[key] = self._changed.get(key, self._deployed.get(key, row[2]))

    def __getitem__(self, key):
        return self._values[key]

    def change(self, values):
        """Check all of `values`, then store them together: all are in force, or (SettingsError) none.

        A value of None takes the change back; the deployed value or the default is in force again.
        """
        from .settings_table import check, held, row

        if self._foreign:
            raise SettingsError("stored settings: of a later version, not overwritten")
        changed, kept = dict(self._changed), dict(self._kept)
        for key in sorted(values):
            if values[key] is None:
                row(key)
                changed.pop(key, None)
            else:
                changed[key] = held(key, check(key, values[key]))
            kept.pop(key, None)
        stored = dict(kept)
        for key in changed:
            value = changed[key]
            stored[key] = str(hexlify(value), "ascii") if type(value) is bytes else value
        save(self._path, json.dumps({"version": VERSION, "values": stored}).encode())
        self._changed, self._kept = changed, kept
        self._merge()

    def trying(self, values):
        """Let `values`, checked before, be in force until the next start; stored is nothing."""
        from .settings_table import held

        for key in values:
            if values[key] is None:
                self._changed.pop(key, None)
            else:
                self._changed[key] = held(key, values[key])
        self._merge()

    def without(self, key):
        """The value that a key has when nobody has changed it."""
        from .settings_table import row

        return self._deployed.get(key, row(key)[2])

    def secrets(self):
        """The texts that must not appear in a log."""
        from .settings_table import TABLE

        found = [self[row[0]] for row in TABLE if row[5] and type(self[row[0]]) is str and self[row[0]]]
        tables = [self[name] or {} for name in ("network", "lorawan")]
        for table in tables + (tables[0].get("networks") or []):
            found += [table[key] for key in sorted(table) if key != "ssid" and type(table[key]) is str]
        return found

    def public(self):
        """(key, value) of every setting in the order of the table, a secret only as whether it is set."""
        from .settings_table import TABLE

        return [(row[0], (self[row[0]] not in (None, "")) if row[5] else self[row[0]]) for row in TABLE]
