"""The node's clock: what it says, how well it knows it, and what a restart leaves of it."""

import os
import sys

if sys.implementation.name != "micropython":
    sys.path.append("firmware")

from node.clock import BLE, ESTIMATED, NETWORK, NEVER, SATELLITE, Clock

T = 850000000  # s2000
FOLDER = "build/tmp"


class Ticks:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def path(name):
    for folder in ("build", FOLDER):
        try:
            os.mkdir(folder)
        except OSError:
            pass
    name = FOLDER + "/clock-" + sys.implementation.name + name
    for end in ("", ".new"):
        try:
            os.remove(name + end)
        except OSError:
            pass
    return name


def path_of(name):
    return FOLDER + "/clock-" + sys.implementation.name + name


def clock(ticks, *arguments):
    made = Clock(ticks, *arguments)
    made.news = []
    made.changed = lambda: made.news.append(made.now())
    return made


def test_a_new_clock_counts_its_uptime_and_says_that_it_knows_nothing():
    ticks = Ticks()
    ticks.now = 90500
    c = clock(ticks)
    assert (c.state, c.known, c.now(), c.next_multiple(60)) == (NEVER, False, 90, 120)


def test_a_source_sets_it_and_dates_what_was_before():
    ticks = Ticks()
    c = clock(ticks)
    ticks.now = 30000
    assert c.set(T * 1000, NETWORK) == T * 1000 - 30000
    assert (c.state, c.known, c.now(), c.shift) == (NETWORK, True, T, T - 30)
    assert c.at(20000) == T - 10
    assert c.until(T + 10) == 40000
    assert c.news == [T]


def test_a_small_correction_is_drift_and_no_news():
    ticks = Ticks()
    c = clock(ticks)
    c.set(T * 1000, NETWORK)
    ticks.now = 3600000
    assert c.set((T + 3600) * 1000 - 180, NETWORK) == -180
    assert c.drift_ppm == 50, "180 ms fast in an hour"
    assert (c.error, c.jumps, len(c.news)) == (0, 0, 1)


def test_a_jump_is_news_and_counted():
    ticks = Ticks()
    c = clock(ticks)
    c.set(T * 1000, BLE)
    ticks.now = 3600000
    c.set((T + 3600 - 75) * 1000, NETWORK)
    assert (c.jumps, c.error, c.state, len(c.news)) == (1, 75, NETWORK, 2)


def test_a_source_that_cannot_be_right_is_refused():
    c = clock(Ticks())
    for wrong in (0, 1000, 700000000, 1 << 33):
        try:
            c.set(wrong * 1000, NETWORK)
            raise AssertionError("%d was believed" % wrong)
        except ValueError:
            pass
    assert c.state == NEVER


def test_after_a_restart_the_last_note_is_an_estimate_and_no_more():
    name = path("restart")
    ticks = Ticks()
    c = clock(ticks, name)
    c.set(T * 1000, NETWORK)
    ticks.now = 7200000
    c.note()
    again = clock(Ticks(), name)
    again.restore()
    assert (again.state, again.known, again.now()) == (ESTIMATED, False, T + 7200)
    again.set((T + 9000) * 1000, NETWORK)
    assert (again.known, again.jumps, len(again.news)) == (True, 0, 1)


def test_a_clock_that_ran_on_through_a_reset_is_the_better_estimate():
    name = path("rtc")
    c = clock(Ticks(), name)
    c.set(T * 1000, NETWORK)
    again = clock(Ticks(), name)
    again.restore(T + 55)
    assert (again.state, again.now()) == (ESTIMATED, T + 55)


def test_a_note_is_written_once_an_hour():
    name = path("hour")
    ticks = Ticks()
    c = clock(ticks, name)
    c.set(T * 1000, NETWORK)
    os.remove(name)
    ticks.now = 3599000
    c.note()
    assert not exists(name)
    ticks.now = 3600000
    c.note()
    assert exists(name)


def exists(name):
    try:
        os.stat(name)
        return True
    except OSError:
        return False


def test_the_next_instant_is_a_multiple_and_ahead():
    ticks = Ticks()
    c = clock(ticks)
    c.set(850000080 * 1000, NETWORK)
    assert c.next_multiple(120) == 850000200
    ticks.now = 119400
    assert c.next_multiple(120, 500) == 850000200
    ticks.now = 119500
    assert c.next_multiple(120, 500) == 850000320


def test_times_beyond_2034_and_2038_are_times_like_any_other():
    # 2^30 s (January 2034) is the end of a 32-bit MicroPython's small integers, 2^31 that of a signed C integer.
    for t in ((1 << 30) - 60, (1 << 31) - 60, (1 << 32) - 200):
        ticks = Ticks()
        c = clock(ticks)
        c.set(t * 1000, NETWORK)
        ticks.now = 120000
        assert c.now() == t + 120
        assert c.at(60000) == t + 60
        assert c.until(t + 180) == 180000
        assert c.next_multiple(60) % 60 == 0


def test_a_source_of_whole_seconds_moves_a_known_clock_no_further_than_it_knows():
    ticks = Ticks()
    it = clock(ticks)
    it.hear(T, NETWORK)
    ticks.now += 10700
    assert it.hear(T + 10, NETWORK) == 0, "it shows that second already"
    assert it.now_ms() == T * 1000 + 10700
    assert it.hear(T + 12, NETWORK) == 1300
    assert it.hear(T + 10, NETWORK) == -1001


def test_each_kind_of_source_says_so():
    for source in (BLE, NETWORK, SATELLITE):
        it = clock(Ticks())
        it.hear(T, source)
        assert (it.state, it.known, it.now()) == (source, True, T)


def test_the_years_in_which_others_end():
    # 2034-01-10: MicroPython's small integers; 2036-02-07: NTP's first era; 2038-01-19: signed Unix time; 2068-01-19:
    # signed seconds since 2000; 2106-02-07: unsigned Unix time; 2136-02-07: ours.
    for end in (0x3FFFFFFF, 1139270400 + 23295, 0x7FFFFFFF - 946684800, 0x7FFFFFFF, 0xFFFFFFFF - 946684800, 0xFFFFFFFE):
        ticks = Ticks()
        it = clock(ticks, path("end%d" % (end & 0xFFFF)))
        it.hear(end - 1, NETWORK)
        for second in range(-1, 2 if end < 0xFFFFFFFE else 1):
            assert it.now() == end + second
            assert it.at(ticks.now) == end + second
            assert it.until(end + second) == ticks.now
            ticks.now += 1000
        assert it.next_multiple(120) % 120 == 0
        assert 0 < it.next_multiple(120) - it.now() <= 120
        it.note(True)
        after = clock(Ticks(), path_of("end%d" % (end & 0xFFFF)))
        after.restore()
        assert after.state == ESTIMATED and after.now() == it.now()
    try:
        clock(Ticks()).hear(0x100000000, NETWORK)
        raise AssertionError("a time after 2136 was taken")
    except ValueError:
        pass
