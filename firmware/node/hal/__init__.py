"""The hardware, under names that are the same on every platform; the rest of the node knows no others.

`esp32.py` is a board, `unix.py` the virtual node. A test holds the two to the same names and signatures.
"""

import sys

if sys.platform == "esp32":
    from .esp32 import (
        adc,
        bluetooth,
        board,
        connect,
        counter,
        event,
        feed,
        i2c,
        i2s,
        join,
        joined,
        leave,
        log,
        memory,
        mount,
        network_time,
        pin,
        random,
        recover,
        reset,
        reset_cause,
        rtc,
        run,
        settings,
        uart,
        uptime_ms,
        watchdog,
    )
else:
    from .unix import (
        adc,
        bluetooth,
        board,
        connect,
        counter,
        event,
        exit,
        feed,
        i2c,
        i2s,
        join,
        joined,
        leave,
        log,
        memory,
        mount,
        network_time,
        pin,
        random,
        recover,
        reset,
        reset_cause,
        rtc,
        run,
        settings,
        uart,
        uptime_ms,
        watchdog,
    )
