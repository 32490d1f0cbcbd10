"""Figures of a sweep, of rows that are made up."""

import numpy as np
import pytest

from agents.benchmark import figures
from agents.benchmark.summaries import summarize
from tests.agents.benchmark.test_summaries import FEW, LEARNERS, SMALL, made_up_rows, made_up_sweep


@pytest.fixture(scope="module")
def sweep():
    return made_up_sweep(made_up_rows(SMALL, FEW, range(3)))


def test_styles_are_distinct_and_an_algorithm_keeps_its_color_and_marker():
    contestants = {name: name for name in LEARNERS} | {f"{name} 64": name for name in LEARNERS}
    styles = figures.assign_styles(contestants)
    assert len(set(styles.values())) == len(contestants)
    for name in LEARNERS:
        assert styles[name][:2] == styles[f"{name} 64"][:2]
    assert figures.assign_styles({"td3": "td3"})["td3"] == styles["td3"]


def test_learning_curves_are_those_of_the_rows(sweep):
    left, right = figures.draw_learning(sweep, "tiny", {}).axes
    lines = {line.get_label(): line for line in left.lines}
    assert set(lines) == set(FEW)
    turns, mean = lines["ppo"].get_data()
    ends = [curve[-1] for curve in sweep.run("tiny", "ppo")["curve_nash_conv"]]
    assert turns[-1] == pytest.approx(1_500_000)
    assert min(ends) <= mean[-1] <= max(ends)
    assert right.get_xlabel() == "seconds of training"


def test_values_beyond_the_display_limits_are_drawn_at_the_limits():
    sweep = made_up_sweep(made_up_rows(SMALL, {"ppo": 1e30}, range(3)))
    axes = figures.draw_nash_conv(sweep, summarize(sweep), {}).axes[0]
    assert max(np.max(line.get_xdata()) for line in axes.lines) == figures.LARGEST_SHOWN


def test_references_are_drawn_where_they_are_in_view(sweep):
    summary = summarize(sweep)
    inside = {"tiny": {"inside": 0.1, "outside": 1e20}}
    figure = figures.draw_nash_conv(sweep, summary, inside)
    assert [text.get_text() for text in figure.axes[0].texts] == ["inside"]


def test_a_learner_whose_runs_all_failed_is_named_as_such():
    rows = made_up_rows(SMALL, FEW, range(2), failures={("tiny", "td3", 0), ("tiny", "td3", 1)})
    sweep = made_up_sweep(rows)
    figure = figures.draw_retention(sweep, summarize(sweep))
    assert [text.get_text() for text in figure.axes[0].texts] == ["all failed"]


def test_profiles_rise_to_the_share_of_runs_that_finished():
    rows = made_up_rows(SMALL, {"ppo": 0.004}, range(4), failures={("tiny", "ppo", 0)})
    line = figures.draw_profiles(made_up_sweep(rows)).axes[0].lines[0]
    share = line.get_ydata()
    assert (np.diff(share) >= 0).all()
    assert share[-1] == 0.75
