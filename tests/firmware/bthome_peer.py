"""Decodes BTHome service data with the implementation of Home Assistant's own integration; run with it on PYTHONPATH.

Reads lines of hexadecimal service data, prints for each a JSON object: device class -> value.
"""

import json
import sys

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bthome_ble import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak

UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"


def decode(data: bytes) -> dict[str, float]:
    """What that service data says."""
    address = "C1:7E:00:00:00:01"
    device = BLEDevice(address, "citymote", {})
    advertisement = AdvertisementData("citymote", {}, {UUID: data}, [], None, -60, ())
    info = BluetoothServiceInfoBleak(
        name="citymote",
        address=address,
        rssi=-60,
        manufacturer_data={},
        service_data={UUID: data},
        service_uuids=[],
        source="test",
        device=device,
        advertisement=advertisement,
        connectable=False,
        time=0.0,
        tx_power=None,
        raw=None,
    )
    parser = BTHomeBluetoothDeviceData()
    if not parser.supported(info):
        raise SystemExit("not BTHome")
    found = parser.update(info)
    return {key.key: value.native_value for key, value in found.entity_values.items() if key.key != "signal_strength"}


for line in sys.stdin:
    print(json.dumps(decode(bytes.fromhex(line))))
