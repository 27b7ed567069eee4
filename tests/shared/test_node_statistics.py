"""The node's statistics: integers in, one integer out, the same on every interpreter."""

import sys

if sys.implementation.name != "micropython":
    sys.path.append("firmware")

from node import plausibility, statistics
from node.plausibility import Judge
from node.statistics import Gather


def gathered(quantity, *readings):
    gather = Gather(quantity)
    for reading in readings:
        if isinstance(reading, tuple):
            gather.add(*reading)
        else:
            gather.add(reading, 0)
    return gather.result(8)


def test_a_mean_is_rounded_half_away_from_zero():
    assert gathered(3, 1, 2) == (2, 0)
    assert gathered(3, -1, -2) == (-2, 0)
    assert gathered(3, 1, 1, 2) == (1, 0)
    assert gathered(3, -5) == (-5, 0)
    assert gathered(3, 2000000000, 2000000001) == (2000000001, 0)


def test_extremes_sums_and_last_values():
    assert gathered(16, 3, 9, 4) == (9, 0)
    assert gathered(72, 3, -9, 4) == (-9, 0)
    assert gathered(23, 3, 9, 4) == (16, 0)
    assert gathered(9, 601, 640, 622) == (622, 0)
    assert gathered(150, 601, 640) == (640, 0)


def test_a_root_mean_square_is_rounded_to_nearest():
    assert gathered(28, 3, 4) == (4, 0)  # the root of 12.5 is 3.54
    assert gathered(28, 10, 10) == (10, 0)
    assert gathered(28, 0) == (0, 0)
    for squares in range(200):
        root = statistics.root(squares, 3)
        assert (2 * root - 1) ** 2 * 3 <= 4 * squares or root == 0
        assert (2 * root + 1) ** 2 * 3 >= 4 * squares


def test_directions_meet_across_north():
    assert gathered(5, 350, 10) == (0, 0)
    assert gathered(5, 350, 20) == (5, 0)
    assert gathered(5, 90, 180) == (135, 0)
    assert gathered(5, 359, 0, 1) == (0, 0)


def test_every_single_direction_comes_back():
    for degrees in range(360):
        assert gathered(5, degrees) == (degrees, 0), degrees


def test_directions_that_cancel_are_none():
    assert gathered(5, 0, 180) == (None, 2)
    assert gathered(5, 0, 120, 240) == (None, 2)


def test_what_failed_leaves_its_reason_and_spoils_no_reading_beside_it():
    assert gathered(3) == (None, 8)
    assert gathered(3, (None, 9)) == (None, 9)
    assert gathered(3, (None, 9), (20, 0), (22, 0)) == (21, 0)
    assert gathered(3, (20, 3), (22, 0)) == (21, 3)


def test_an_extreme_knows_what_it_is_of():
    assert statistics.source(24) == 10
    assert statistics.source(16) == 6
    assert statistics.source(3) is None


def judged(judge, *values):
    quality = bytearray(len(values))
    judge.judge(list(values), quality)
    return list(quality)


def test_a_value_outside_the_registrys_range_is_marked_and_kept():
    judge = Judge(((3, 0), (8, 0)), 120)
    assert judged(judge, 851, 200) == [2, 0]
    assert judged(judge, -500, 201) == [0, 2]
    assert judged(judge, None, None) == [0, 0]


def test_a_boards_own_limits_stand_in_for_the_registrys():
    judge = Judge(((3, 0),), 120, {(3, 0): (-200, 450, 50)})
    assert judged(judge, 451) == [2]
    assert judged(judge, 400) == [3], "51 in one step"
    assert judged(judge, 440) == [0]


def test_a_day_without_a_change_is_a_dead_sensor():
    judge = Judge(((3, 0), (6, 0)), 3600)
    for _ in range(24):
        assert judged(judge, 210, 0) == [0, 0]
    assert judged(judge, 210, 0) == [15, 0], "calm may last, temperature may not"
    assert judged(judge, 211, 0) == [0, 0]


def test_two_sensors_that_disagree_are_both_suspicious():
    judge = Judge(((1, 0), (1, 1)), 120, {(1, 0): (0, 15000, None, 100)})
    assert judged(judge, 200, 300) == [0, 0]
    assert judged(judge, 200, 301) == [3, 3]
    assert judged(judge, 200, None) == [0, 0]


def test_a_drivers_own_word_is_not_overruled():
    judge = Judge(((3, 0),), 120)
    quality = bytearray([11])
    judge.judge([900], quality)
    assert list(quality) == [11]


def test_ranges_are_known_for_what_a_city_node_carries():
    assert plausibility.limits(3) == (-500, 850)
    assert plausibility.limits(9) == (200, 1400)
    assert plausibility.limits(999) is None
