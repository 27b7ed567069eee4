"""When a node may start a new application: the daily window of the setting `update_window`, "02:00-04:30" in UTC.

Fetching goes on at any time; only the restart waits. An emergency key's updates do not wait (SPEC 14.7).
"""

_DAY = 86400
_BLIND = 86400000  # ms of uptime after which a node that knows no time waits no longer


def parse(text):
    """(first second of the day, last); ValueError where it is not HH:MM-HH:MM, or empty."""
    ends = text.split("-")
    if len(ends) != 2:
        raise ValueError
    out = []
    for end in ends:
        if len(end) != 5 or end[2] != ":" or not (end[:2] + end[3:]).isdigit():
            raise ValueError
        hour, minute = int(end[:2]), int(end[3:])
        if hour > 23 or minute > 59:
            raise ValueError
        out.append(hour * 3600 + minute * 60)
    if out[0] == out[1]:
        raise ValueError
    return tuple(out)


def wait(text, clock, uptime):
    """ms until the window opens, 0 while it is open; a node without a time looks again in a while."""
    if not text:
        return 0
    if not clock.known:
        return 0 if uptime >= _BLIND else 600000
    first, last = parse(text)
    now = clock.now() % _DAY
    if (now - first) % _DAY < (last - first) % _DAY:
        return 0
    return ((first - now) % _DAY) * 1000
