"""What the setting `lorawan` may hold, checked when it is read and when it is set; loaded only then.

{"join_eui", "app_key"} must be there; the rest has defaults: "dev_eui" (the modem's own), "band" 4 (EU868, the numbers
of AT+BAND), "adr" true, "dr" 0 (without adr), "port" 2 (the
one above it asks for the time), "payload" 51 (bytes that a frame may have at most, so that every
data rate of EU868 and its kin takes it; 0: what the data rate of the moment takes), "airtime" 36 (seconds an hour on
air), "retries" 3 (of one uplink, by the modem).
"""

from binascii import unhexlify

_HEX = (("join_eui", 8), ("app_key", 16), ("dev_eui", 8))
_NUMBERS = (
    ("band", 0, 11),
    ("dr", 0, 7),
    ("port", 1, 222),
    ("payload", 0, 242),
    ("airtime", 1, 3600),
    ("retries", 0, 7),
)


def check(table):
    """The sentence that says what is wrong with it, or None. A key's value is never in the sentence."""
    known = ["adr"]
    for name, size in _HEX:
        known.append(name)
        value = table.get(name)
        if value is None and name == "dev_eui":
            continue
        try:
            good = type(value) is str and len(unhexlify(value)) == size
        except ValueError:
            good = False
        if not good:
            return "lorawan: %s: %d hexadecimal digits" % (name, 2 * size)
    for name, low, high in _NUMBERS:
        known.append(name)
        value = table.get(name, low)
        if type(value) is not int or not low <= value <= high:
            return "lorawan: %s: a number from %d to %d" % (name, low, high)
    if table.get("adr", True) not in (True, False):
        return "lorawan: adr: true or false"
    for name in sorted(table):
        if name not in known:
            return "lorawan: %s: no such setting" % name
    return None
