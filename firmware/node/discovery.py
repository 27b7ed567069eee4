"""Readings for Home Assistant, where the owner's setting `discovery` asks for them: in plain JSON, besides the frames.

Home Assistant's MQTT integration, "MQTT discovery" and "MQTT sensor" (2025.1 and later for wind directions): after each
connection a retained configuration document for each quantity under the setting's prefix, and after each row its values
on `citymote/<node id>/state`. Nothing of it is sealed or acknowledged: whoever may read the broker reads it. Loaded
only where the setting is there.
"""

import json

from citymote_protocol import quantities

# quantities, device class, unit; of what is not here only the name is told
_KINDS = (
    (b"\x0d", "pm1", "\u00b5g/m\u00b3"),
    (b"\x01\x15\x3f\x41\x4b", "pm25", "\u00b5g/m\u00b3"),
    (b"\x02\x16\x40\x4c", "pm10", "\u00b5g/m\u00b3"),
    (b"\x03\x1b\x48\x49", "temperature", "\u00b0C"),
    (b"\x04", "humidity", "%"),
    (b"\x05\x11", "wind_direction", "\u00b0"),
    (b"\x06\x10", "wind_speed", "m/s"),
    (b"\x07", "illuminance", "lx"),
    (b"\x08", None, "UV index"),
    (b"\x09\x12\x13\x14\x42\x43\x44\x45\x46\x47", "sound_pressure", "dB"),
    (b"\x0a\x0b\x0c\x18\x19\x1a", None, "m/s\u00b2"),
    (b"\x0e\x3e", "atmospheric_pressure", "hPa"),
    (b"\x0f", "carbon_dioxide", "ppm"),
)


def decimal(value, decimals):
    """An integer at a resolution of so many digits, as a number of JSON."""
    if not decimals:
        return str(value)
    text = str(abs(value))
    while len(text) <= decimals:
        text = "0" + text
    return ("-" if value < 0 else "") + text[:-decimals] + "." + text[-decimals:]


def document(name, key, column, topic, model, firmware, expires):
    """The configuration of one sensor: what Home Assistant's schema asks for, and what helps."""
    quantity = column[0]
    told = {
        "name": key.replace("_", " "),
        "unique_id": "citymote_%s_%s" % (name, key),
        "state_topic": topic + "state",
        "value_template": "{{ value_json['%s'] }}" % key,
        "availability_topic": topic + "link",
        "payload_available": "online",
        "payload_not_available": "offline",
        "expire_after": expires,
        "state_class": "measurement",
        "device": {
            "identifiers": ["citymote_" + name],
            "name": "citymote " + name,
            "manufacturer": "citymote",
            "model": model,
            "sw_version": firmware,
        },
        "origin": {"name": "citymote", "sw_version": firmware},
    }
    for members, kind, unit in _KINDS:
        if quantity in members:
            told["unit_of_measurement"] = unit
            if kind:
                told["device_class"] = kind
            if kind == "wind_direction":
                told["state_class"] = "measurement_angle"
    return told


class Discovery:
    """What `telemetry` calls when it is connected and after each row."""

    def __init__(self, node, model, firmware):
        self._node = node
        self._model = model
        self._firmware = firmware
        self._name = node.name.hex()
        self._topic = "citymote/%s/" % self._name
        self._said = None  # time of the row that was said last
        self._keys = []
        for quantity, instance in node.sampler.columns:
            key = quantities.name(quantity) or "quantity_%d" % quantity
            self._keys.append(key if instance == 0 else "%s_%d" % (key, instance))

    async def connected(self, client):
        """Say what there is: one document after the other, so that never two are in memory."""
        settings = self._node.settings
        columns = self._node.sampler.columns
        for i in range(len(columns)):
            key = self._keys[i]
            told = document(
                self._name, key, columns[i], self._topic, self._model, self._firmware, 3 * settings["interval"]
            )
            topic = "%s/sensor/citymote_%s/%s/config" % (settings["discovery"], self._name, key)
            await client.say(topic, json.dumps(told).encode(), True)
        await self.row(client, True)

    async def row(self, client, again=False):
        """Say the last row, if that was not said yet. Absent readings are null."""
        row = self._node.live()
        if row is None or (row[0] == self._said and not again):
            return
        time, columns, values, _ = row
        parts = []
        for i in range(len(columns)):
            value = values[i]
            text = "null" if value is None else decimal(value, quantities.decimals(columns[i][0]) or 0)
            parts.append('"%s": %s' % (self._keys[i], text))
        await client.say(self._topic + "state", ("{" + ", ".join(parts) + "}").encode())
        self._said = time
