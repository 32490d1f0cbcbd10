"""Every call to the library works or refuses in one clear sentence, as `tests.faults.fuzz` finds."""

import re

import numpy as np
import pytest

from tests.faults import fuzz


@pytest.mark.parametrize("interface", fuzz.INTERFACES)
def test_every_call_works_or_is_refused_in_one_sentence(interface, times, record_faults):
    calls = (20 if interface == "oracles" else 100) * times
    came = list(fuzz.run(calls, 7, {interface: fuzz.INTERFACES[interface]}))
    refused, works = (sum(verdict == kind for _, verdict, _, _ in came) for kind in ("refused", "works"))
    if interface == "oracles":  # of legal games, nearly all of which have one
        assert refused > 0
        assert works >= 0.8 * calls
    else:
        assert refused >= calls // 10
    broken = [(said, number) for _, verdict, said, number in came if verdict == "broken"]
    record_faults(f"strange arguments to {interface}", calls, broken)


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (ValueError("c must be at most 2; got 3"), "refused"),
        (ValueError("two\nlines"), "broken"),
        (ValueError("setting an array element with a sequence"), "broken"),
        (TypeError("'int' object is not iterable"), "broken"),
        (RuntimeError("c must be at most 2; got 3"), "broken"),
        (KeyError("episode_6"), "broken"),
        (RuntimeWarning("overflow encountered in multiply"), "broken"),
        (None, "works"),
    ],
    ids=repr,
)
def test_the_fuzzer_tells_clear_refusals_from_others(failure, verdict):
    def call(rng):
        if failure is not None:
            raise failure

    assert fuzz.verdict(call, np.random.default_rng(0))[0] == verdict


def test_the_same_seed_makes_the_same_calls():
    step = {"step": fuzz.INTERFACES["step"]}
    one, again, other = (
        [re.sub("0x[0-9a-f]+", "", str(came)) for came in fuzz.run(30, seed, step)] for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other
