"""From the board description to sensors: drivers made, buses opened, columns given out.

Needed once, when the node starts; the application forgets this module afterwards, so that its code does not stay on
the heap. A sensor that cannot be made is named, with the reason, and the node lives without it.
"""

from citymote_protocol import quantities

from . import statistics
from .journal import ERROR, reason
from .sensor import Sensor, driver_class


class BoardError(ValueError):
    """A sensor of the board description that cannot be made; says which and why."""


def quantity_id(item):
    """A quantity of the board description, named or numbered."""
    number = quantities.by_name(item) if isinstance(item, str) else item
    if type(number) is not int or quantities.decimals(number) is None:
        raise BoardError("unknown quantity %s" % (item,))
    return number


def make_driver(entry, hal):
    """The driver object of one entry of the board description."""
    name = entry["driver"]
    settings = entry.get("settings") or {}
    if not all(c.isalpha() or c.isdigit() or c == "_" for c in name):
        raise BoardError("driver name %s" % name)
    try:
        if name == "sound_meter":
            from .sound.meter import Meter, Port

            return Meter(Port(hal, entry["bus"]), **settings)
        driver = driver_class(name)
    except ImportError:
        raise BoardError("no driver %s" % name) from None
    names = entry.get("bus", ())
    kinds = driver.BUS
    if isinstance(names, str):
        names, kinds = (names,), (kinds if isinstance(kinds, str) else kinds[0],)
    elif isinstance(kinds, str):
        kinds = (kinds,) * len(names)
    buses = []
    for kind, bus in zip(kinds, names):
        if kind == "uart":
            buses.append(hal.uart(bus, driver.BAUDRATE))
        else:
            buses.append(getattr(hal, kind)(bus))
    return driver(*buses, **settings)


def _gather(entry, driver, instance):
    """(source quantity, Gather, column) for each quantity that this sensor is to report."""
    wanted = entry.get("quantities")
    wanted = driver.QUANTITIES if wanted is None else [quantity_id(item) for item in wanted]
    out = []
    for quantity in wanted:
        source = quantity
        if quantity not in driver.QUANTITIES:
            source = statistics.source(quantity)
            if source not in driver.QUANTITIES:
                raise BoardError("it does not measure %s" % quantities.name(quantity))
        out.append((source, statistics.Gather(quantity), (quantity, instance)))
    every = entry.get("every", 1)
    rows = list(every.values()) if isinstance(every, dict) else [every]
    for key, highest, numbers in (("reads", 3600, [entry.get("reads", 1)]), ("every", 86400, rows)):
        if not all([type(number) is int and 1 <= number <= highest for number in numbers]):
            raise BoardError("%s is 1 to %d" % (key, highest))
    return out


def _rare(every, columns):
    """Quantity -> rows in its period: as the board says for each, or of all that a sensor counts without a rest."""
    there = [column[0] for column in columns]
    if not isinstance(every, dict):
        return {quantity: every for quantity in there}
    found = {quantity_id(key): every[key] for key in every}
    for quantity in found:
        if quantity not in there:
            raise BoardError("every: %s" % quantities.name(quantity))
    return found


def _alarms(entry, driver):
    """Quantity -> (lowest, highest) of what is usual: a reading outside is an event."""
    alarms = entry.get("alarms")
    if not alarms:
        return None
    found = {}
    for key in alarms:
        quantity = quantity_id(key)
        low, high = alarms[key]
        if quantity not in driver.QUANTITIES or not low <= high:
            raise BoardError("alarms: %s" % key)
        found[quantity] = (low, high)
    return found


def _teller(quantities, drivers):
    """Tells drivers what another sensor measures; None where it failed, so that they use nothing old."""

    def tell(readings):
        for driver in drivers:
            for quantity in driver.WANTS:
                if quantity in quantities:
                    value = None
                    for reading in readings or ():
                        if reading[0] == quantity:
                            value = reading[1]
                    driver.know(quantity, value)

    return tell


def build_sensors(board, hal, log):
    """The sensors of a board description, and sentences about those that could not be made."""
    sensors = []
    problems = []
    taken = []
    for index, entry in enumerate(board.get("sensors", ())):
        try:
            driver = make_driver(entry, hal)
            power = hal.pin(entry["power"]) if entry.get("power") else None
            instance = entry.get("instance")
            if instance is None:
                instance = 0
                while any((quantity, instance) in taken for quantity in driver.QUANTITIES):
                    instance += 1
            gather = _gather(entry, driver, instance)
            for _, _, column in gather:
                if column in taken:
                    raise BoardError("another sensor has instance %d of that quantity" % instance)
            sensor = Sensor(index, entry, driver, instance, gather, hal.uptime_ms, log, power)
            if isinstance(sensor.every, dict) or sensor.accumulates and sensor.every > 1:
                sensor.rare = _rare(sensor.every, sensor.columns)  # pyright: ignore[reportAttributeAccessIssue]
                sensor.every = 1
            alarms = _alarms(entry, driver)
            if alarms:
                sensor.alarms = alarms  # pyright: ignore[reportAttributeAccessIssue]
            if driver.BUS == "i2c":
                sensor.stuck = (hal.recover, entry["bus"])  # pyright: ignore[reportAttributeAccessIssue]
            taken += sensor.columns
            sensors.append(sensor)
            sensor.let_go()
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as e:
            text = "sensor %d (%s): %s" % (index, entry.get("driver"), reason(e))
            problems.append(text)
            log(ERROR, text)
    for sensor in sensors:
        known = [quantity for quantity, instance in sensor.columns if not instance]
        drivers = [other.driver for other in sensors if other is not sensor and wants(other.driver, known)]
        if drivers:
            sensor.tell = _teller(known, drivers)
    return sensors, problems


def wants(driver, quantities):
    """Whether a driver wants to know one of these."""
    return any([quantity in quantities for quantity in getattr(driver, "WANTS", ())])


def board_rules(board, sensors):
    """The plausibility rules that a board description has for its columns."""
    rules = {}
    entries = board.get("sensors", ())
    for sensor in sensors:
        limits = entries[sensor.index].get("limits") or {}
        for key in limits:
            rules[(quantity_id(key), sensor.instance)] = tuple(limits[key])
    return rules
