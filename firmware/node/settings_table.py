"""What each setting may be: the table of keys, kinds, defaults and limits, and the check against it.

Apart from `settings`, because a running node reads values and seldom checks one: the application forgets this module
when the node has started.
"""

# Limits are numbers or words.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false
from binascii import a2b_base64, unhexlify

from .settings import SettingsError

_BOOL, _INT, _TEXT, _HEX, _WORD, _DER = range(6)

_NETWORKS = 8
LEAST_STORE = 65536  # bytes; four segments

# key, kind, default, lowest or shortest or the words allowed, highest or longest, secret
TABLE = (
    ("broker_host", _TEXT, "", 0, 253, False),
    ("broker_port", _INT, 0, 0, 65535, False),  # 0: 1883, or 8883 with TLS
    ("broker_tls", _BOOL, False, 0, 0, False),
    ("broker_user", _TEXT, "", 0, 128, False),
    ("broker_password", _TEXT, "", 0, 256, True),
    ("broker_ca", _DER, "", 0, 4096, False),  # a text: PEM, or DER in hexadecimal
    ("broker_cert", _DER, "", 0, 4096, False),
    ("broker_key", _DER, "", 0, 4096, True),
    ("broker_name", _TEXT, "", 0, 253, False),  # the name in the server's certificate where it is not broker_host
    ("broker_keepalive", _INT, 300, 0, 3600, False),  # seconds; 0: none
    ("broker_version", _WORD, "3.1.1", ("3.1.1", "5"), 0, False),  # of MQTT
    ("broker_session", _INT, 86400, 0, 0xFFFFFFFF, False),  # MQTT 5: seconds that the broker keeps the session
    ("discovery", _TEXT, "", 0, 64, False),  # Home Assistant's prefix, "homeassistant": readings in plain JSON too
    ("nearby", _TEXT, "", 0, 200, False),  # "temperature,pm2_5": these are broadcast in the clear over BLE
    ("publish_rate", _INT, 600, 0, 60000, False),  # frames a minute after a first burst; 0: no budget
    ("interval", _INT, 120, 1, 86400, False),  # seconds between rows; has to divide a day
    ("batch", _INT, 5, 1, 255, False),  # rows a frame while the link keeps up
    ("batch_backlog", _INT, 60, 1, 255, False),  # rows a frame while it does not
    ("packed", _BOOL, False, 0, 0, False),
    ("max_delay", _INT, 3600, 0, 604800, False),  # seconds that a row may wait for its batch; 0: as long as it takes
    ("store_capacity", _INT, 0, 0, 1 << 28, False),  # bytes; 0: what fits
    ("collector_key", _HEX, "", 33, 33, False),  # compressed P-256 key that frames are sealed for
    ("unsealed", _BOOL, False, 0, 0, False),  # frames may go bare where there is no collector_key
    ("profile", _WORD, "on", ("on", "sleep"), 0, False),  # "sleep": deep sleep between samples
    ("sound", _WORD, "on", ("on", "off"), 0, False),
    ("time_source", _WORD, "network", ("network", "none"), 0, False),
    ("time_earliest", _INT, 820454400, 0, 0xFFFFFFFF, False),  # s2000; a source that says less is wrong (2026-01-01)
    ("time_interval", _INT, 21600, 60, 604800, False),  # seconds between two questions for the time
    ("status_interval", _INT, 3600, 0, 604800, False),  # seconds between status frames; 0: none
    ("log_level", _INT, 2, 0, 3, False),
    ("network", None, None, 0, 0, True),  # how the uplink is joined: for the HAL alone
    ("lorawan", None, None, 0, 0, True),  # set: frames go through a LoRaWAN modem, see `lorawan_settings`
    ("station", _TEXT, "", 0, 64, False),  # the place's own id, which outlives the node
    ("site", _TEXT, "", 0, 58, False),  # delegations for this site hold here
    ("place", None, None, 0, 0, False),  # [latitude, longitude, height]: millionths of a degree; metres, optional
    ("recovery_hours", _INT, 24, 0, 720, False),  # that the recovery of a lost owner takes; 0: there is none
    ("udp", _BOOL, False, 0, 0, False),  # requests over UDP are answered while the uplink is a network
    ("udp_port", _INT, 5683, 1, 65535, False),  # and on which port
    ("update_root", _HEX, "", 33, 33, False),  # compressed P-256 key that says who signs updates
    ("update_url", _TEXT, "", 0, 253, False),  # file server that is asked for updates; empty: none is asked
    ("update_hss", _HEX, "", 52, 60, False),  # HSS-LMS public key: updates need its signature too
    (
        "update_window",
        _TEXT,
        "",
        0,
        11,
        False,
    ),  # "02:00-04:30" UTC: when a new application may start; empty: at any time
    ("update_interval", _INT, 86400, 60, 2592000, False),  # seconds between two questions, more or less by half
    ("until", _INT, 0, 0, 0xFFFFFFFF, False),  # virtual node: the last instant to sample; 0: for ever
    ("drain", _INT, 900, 0, 604800, False),  # virtual node: seconds that the end of a run waits for acknowledgements
)


def row(key):
    """The line of the table for a key; SettingsError where there is none."""
    for line in TABLE:
        if line[0] == key:
            return line
    raise SettingsError("%s: no such setting" % (key,))


def held(key, value):
    """A checked value as a node keeps it: of a certificate or its key the bytes, where they can be read.

    They are half of the text, and a connection has no need of both; what cannot be read the link will name.
    """
    if row(key)[1] != _DER or not value:
        return value
    try:
        if "-----BEGIN" not in value:
            return unhexlify(value.strip())
        lines = value.strip().split("\n")
        return a2b_base64("".join([line.strip() for line in lines if not line.startswith("-----")]))
    except ValueError:
        return value


def _place(value):
    limits = (90000000, 180000000, 20000)
    if value is None:
        return
    if type(value) is not list or not 2 <= len(value) <= 3:
        raise SettingsError("place: latitude, longitude and, if it is known, height")
    for number, most in zip(value, limits):
        if type(number) is not int or not -most <= number <= most:
            raise SettingsError("place: whole millionths of a degree, and metres")


def _network(value):
    each = value.get("networks", [value])
    if type(each) is not list or not 1 <= len(each) <= _NETWORKS:
        raise SettingsError("network: one to %d networks" % _NETWORKS)
    for one in each:
        if type(one) is not dict:
            raise SettingsError("network: an object with ssid and key")
        name, secret = one.get("ssid"), one.get("key") or ""
        if type(name) is not str or not 1 <= len(name.encode()) <= 32:
            raise SettingsError("network: an ssid has 1 to 32 bytes")
        if type(secret) is not str or len(secret.encode()) > 63:
            raise SettingsError("network: a key is a text of at most 63 bytes")


def check(key, value):
    """The value if it may be set; SettingsError otherwise. A secret's value is never in the message."""
    _, kind, _, low, high, _ = row(key)
    if kind == _BOOL:
        if value is not True and value is not False:
            raise SettingsError("%s: true or false" % key)
    elif kind == _INT:
        if type(value) is not int:
            raise SettingsError("%s: a whole number" % key)
        if not low <= value <= high:
            raise SettingsError("%s: %d is not between %d and %d" % (key, value, low, high))
        if key == "store_capacity" and 0 < value < LEAST_STORE:
            raise SettingsError("store_capacity: %d is too little, 0 or %d and more" % (value, LEAST_STORE))
        if key == "interval" and 86400 % value:
            raise SettingsError("interval: %d s do not divide a day, so rows would not keep to the clock" % value)
    elif kind == _WORD:
        if value not in low:
            raise SettingsError("%s: one of %s" % (key, ", ".join(low)))
    elif key == "place":
        _place(value)
    elif kind is None:
        if value is not None and type(value) is not dict:
            raise SettingsError("%s: an object" % key)
        if value and key == "network":
            _network(value)
        if value and key == "lorawan":
            try:
                from .lorawan_settings import check as wrong
            except ImportError:  # what is for a modem alone is on no other board
                raise SettingsError("lorawan: this board has no modem")
            said = wrong(value)
            if said:
                raise SettingsError(said)
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
                if key == "update_hss":
                    from citymote_protocol.lms import check_key

                    try:
                        check_key(unhexlify(value))
                    except ValueError as e:
                        raise SettingsError("%s: %s" % (key, e))
        elif not low <= len(value) <= high:
            raise SettingsError("%s: a text of %d to %d characters" % (key, low, high))
        elif key == "update_window" and value:
            from .update.window import parse

            try:
                parse(value)
            except ValueError:
                raise SettingsError("%s: HH:MM-HH:MM in UTC" % key)
    return value
