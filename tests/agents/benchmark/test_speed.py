"""How speed is measured."""

import time

from agents.benchmark import speed


def test_pieces_of_work_take_turns():
    order = []
    seconds = speed.median_seconds(3, lambda: order.append("a"), lambda: order.append("b"))
    assert order == ["a", "b"] * 3
    assert all(second >= 0 for second in seconds)


def test_a_stopwatch_times_a_method_and_keeps_its_result():
    class Sleeper:
        def sleep(self, seconds):
            time.sleep(seconds)
            return "slept"

    sleeper, watch = Sleeper(), speed.Stopwatch()
    watch.time(sleeper, "sleep")
    assert sleeper.sleep(0.01) == "slept"
    assert watch.seconds >= 0.01
