"""Every command refuses bad arguments in one sentence, with exit code 2 and before any work."""

import pytest

from tests.faults import bad_calls
from tests.faults.bad_calls import Call


def test_bad_calls_are_refused_in_one_sentence(tmp_path, times, record_faults):
    calls = bad_calls.sample_calls(350 * times, seed=0)
    assert {call.command for call in calls} == set(bad_calls.REQUIRED)
    wrong = []
    with bad_calls.no_work():
        for number, call in enumerate(calls):
            folder = tmp_path / str(number)
            folder.mkdir()
            if reason := bad_calls.judge(call, folder):
                wrong.append((call, reason))
    record_faults("bad arguments of commands", len(calls), wrong)


@pytest.mark.parametrize(
    "command", [name for name in bad_calls.REQUIRED if name not in ("redo", "report", "speed")]
)
def test_a_good_call_reaches_the_work(command, tmp_path):
    """The calls above are refused for what is wrong with them."""
    with bad_calls.no_work():
        reason = bad_calls.judge(Call(command, bad_calls.REQUIRED[command]), tmp_path)
    assert reason in ("was accepted", "ended well")


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1, "error: no\n", "exit code 1"),
        (2, "error: a\nb\n", "not one sentence"),
        (2, "Traceback (most recent call last):\n", "a traceback"),
        (2, "", "not one sentence"),
        (2, "error: no\n", ""),
    ],
)
def test_the_judge_tells_refusals_from_failures(code, text, words):
    assert bad_calls.judge_refusal(code, text).startswith(words)
    assert bool(bad_calls.judge_refusal(code, text)) == bool(words)
