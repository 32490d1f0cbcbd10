"""The report's Markdown, of rows that are made up."""

import re

import pandas as pd
import pytest

import mesa_env
from agents.benchmark import report
from agents.benchmark.store import REDONE
from agents.benchmark.summaries import Sweep, summarize
from agents.benchmark.tables import number
from mesa_env import Game, Misconception
from tests.agents.benchmark.test_summaries import FEW, SMALL, made_up_rows


def fill(rows, redone=None, notes=""):
    sweep = Sweep.of(rows, pd.DataFrame(columns=REDONE.names) if redone is None else redone)
    references = report.measure_references(sweep)
    return report.fill_template(sweep, summarize(sweep), references, "folder", "make it", notes)


def test_a_report_says_what_its_rows_say():
    rows = made_up_rows(SMALL, FEW, range(4), failures={("tiny", "td3", 2)})
    text = fill(rows)
    median = number(rows[(rows["algorithm"] == "ppo")]["nash_conv"].median())
    assert f"| tiny | ppo | {median} | ppo | ppo | ppo: " in text
    assert f" | **{median}** | " in text
    assert "| td3 | 4 (1) | 60k |" in text
    assert r"| tiny/td3/60000/2 | ValueError: weights \| are not finite |" in text
    assert "Runs of this sweep that were redone:\n\nNone." in text
    assert f"| retention | {mesa_env.METRICS['retention']} |" in text
    assert "`make it` writes this page" in text
    assert not re.search(r"\$\w", text)


def test_games_are_described_by_their_parameters():
    text = fill(made_up_rows({"belief": Misconception(initial_belief=(-1.0, 1.0))}, FEW, range(1)))
    assert "| belief | Misconception | 0.1 (×5), 0 (×20) | discount 1," in text
    assert "initial_belief (-1.0, 1.0)" in text


def test_references_are_measured_in_base_games_alone():
    games = {"post": Game(), "belief": Misconception(initial_belief=(-1.0, 1.0))}
    sweep = Sweep.of(made_up_rows(games, FEW, range(1)), pd.DataFrame())
    references = report.measure_references(sweep)
    assert list(references) == ["post"]
    assert references["post"]["full deception by hand"] == pytest.approx(3.222, abs=5e-4)


def test_a_sweep_in_which_nobody_comes_close_says_so():
    text = fill(made_up_rows(SMALL, {"mine:own": 0.2}, range(1)))
    assert re.search(r"\| tiny \| mine:own \| \S+ \| none \| none \| none \| none \|", text)


def test_redone_runs_are_counted_by_algorithm_and_outcome():
    redone = pd.DataFrame(
        [("ppo", True, True, True), ("td3", False, True, True), ("td3", False, False, False)],
        columns=["algorithm", "same_weights", "same_evaluation", "same_versions"],
    )
    text = fill(made_up_rows(SMALL, FEW, range(1)), redone)
    assert "| ppo | the same | 1 | 1 | 0 | 0 |" in text
    assert "| td3 | others | 1 | 0 | 0 | 1 |" in text
    assert "| td3 | the same | 1 | 0 | 1 | 0 |" in text


def test_notes_are_included_as_they_are():
    notes = "## Why\n\nBecause of $weather | or ${not}.\n<!-- check: runs of ppo on tiny == 3 -->"
    assert notes in fill(made_up_rows(SMALL, FEW, range(3)), notes=notes)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("nash_conv_median of td3 on tiny <= 0.01", "notes must follow from the rows; nash_conv_median is "),
        ("open_share of ppo on tiny > 1", "which fails <!-- check: open_share of ppo on tiny > 1 -->"),
        ("runs of sac on tiny == 3", "the sweep has no runs of sac on tiny"),
        ("luck of ppo on tiny > 0", "the sweep has no luck of ppo on tiny"),
        (
            "ppo is best",
            "checks are <!-- check: COLUMN of LEARNER on GAME <= NUMBER -->; got <!-- check: ppo",
        ),
        ("runs of ppo on tiny == many", "a check compares numbers"),
    ],
)
def test_notes_that_the_rows_do_not_support_are_refused(check, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        fill(made_up_rows(SMALL, FEW, range(3)), notes=f"It is so. <!-- check: {check} -->")


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        ("<!-- check: runs of ppo on tiny == 4", "checks are"),
        ("<!-- check: " * 1001, "at most 1000 checks; got 1001"),
        (f"<!-- check: {'x' * 5_000_000} of ppo on tiny == 4 -->", "checks are"),
    ],
)
def test_checks_that_cannot_be_read_are_refused(notes, words):
    with pytest.raises(ValueError, match=words):
        report.check_notes(notes, pd.DataFrame({"game": ["tiny"], "contestant": ["ppo"], "runs": [4]}))
