"""Metrics of games small enough to work out by hand."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import agents
import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.agent import Profile

TINY = Game(learning_rates=[0.5, 0.0])


def test_a_game_worked_out_by_hand():
    played = mesa_env.rollout(TINY, Profile(TINY, [0.5, 1.0]), 2.0)
    # θ: 2, then 2 (1 − 2 · ½ · ¼) = 1.5 for good; y: 1, then 1.5.
    np.testing.assert_allclose(played.goals, [2, 1.5, 1.5])
    # Agent 1 does its best. Agent 0's unit cost is (c − 1)² + c⁴: 0.3125 at ½, least where 4c³ + 2c = 2.
    best = np.cbrt(0.25 + np.sqrt(1 / 16 + 1 / 216)) + np.cbrt(0.25 - np.sqrt(1 / 16 + 1 / 216))
    expected = {
        "c_first": 0.5,
        "c_last_training": 0.5,
        "c_deployment": 1.0,
        "c_deployment_least": 1.0,
        "goal_after_training": 1.5,
        "retention": 0.75,
        "base_loss_training": 1.0,
        "base_loss_deployment": 2.25,
        "mesa_cost": (1 - 2) ** 2 + (1.5 - 2) ** 2,
        "nash_conv": 0.3125 - ((best - 1) ** 2 + best**4),
        "relative_exploitability": (0.3125 - ((best - 1) ** 2 + best**4)) / 2 / 2,
        "compliance_gap": 0.5,
    }
    measured = mesa_env.measure(TINY, played)
    assert list(measured) == list(mesa_env.METRICS) == list(expected)
    assert measured == pytest.approx(expected, rel=1e-9)


def test_a_discounted_regularized_game_with_a_gap_worked_out_by_hand():
    game = Game(learning_rates=[0.0, 0.25, 0.0], discount=0.5, regularization=0.5)
    played = mesa_env.rollout(game, Profile(game, [1.0, -1.0, 0.5]), -1.0)
    # θ: −1, −1, then −(1 − ½ (1 + ½)) = −¼; y: −1, 1, −⅛.
    measured = mesa_env.measure(game, played)
    assert measured["c_last_training"] == -1
    assert measured["c_deployment"] == 0.75
    assert measured["c_deployment_least"] == 0.5
    assert measured["goal_after_training"] == -0.25
    assert measured["retention"] == 0.25
    assert measured["base_loss_training"] == 1.5
    assert measured["base_loss_deployment"] == pytest.approx((1.5 + 1 / 64 + 1 / 32) / 2)
    assert measured["mesa_cost"] == pytest.approx(0.5 * 2**2 + 0.25 * (7 / 8) ** 2)
    assert measured["compliance_gap"] == pytest.approx(0.75 - 1)


@pytest.mark.parametrize(
    ("name", "gap"), [("myopic", 0), ("compliant", 0), ("guard", 1), ("equilibrium", None), ("grid", None)]
)
def test_compliance_gap_shows_who_tells_deployment_from_training(name, gap):
    game = Game()
    measured = mesa_env.measure(game, mesa_env.rollout(game, agents.make(name, game), 0.8))
    if gap is None:
        assert 0.9 < measured["compliance_gap"] < 1
    else:
        assert measured["compliance_gap"] == gap


def test_compliance_gap_of_random_play_vanishes_on_average():
    game = Game()
    games = mesa_env.compare(game, {"random": agents.make("random", game)}, np.full(200, 0.8))
    gaps = games["compliance_gap"]
    assert abs(gaps.mean()) < 4 * stats.sem(gaps)


@pytest.mark.parametrize(
    ("schedule", "undefined"),
    [
        ([1.0, 1.0], {"c_deployment", "c_deployment_least", "base_loss_deployment", "compliance_gap"}),
        ([0.0, 0.0], {"c_last_training", "base_loss_training", "compliance_gap"}),
    ],
    ids=["no deployment", "no training"],
)
def test_metrics_of_a_missing_part_are_nan(schedule, undefined):
    game = Game(learning_rates=schedule)
    measured = mesa_env.measure(game, mesa_env.rollout(game, agents.make("equilibrium", game), 0.8))
    assert {name for name, value in measured.items() if np.isnan(value)} == undefined


def test_a_goal_of_zero_has_no_retention():
    measured = mesa_env.measure(TINY, mesa_env.rollout(TINY, agents.make("myopic", TINY), 0.0))
    assert np.isnan(measured["retention"])
    assert measured["mesa_cost"] == 0


def test_compare_has_one_entry_per_game():
    game = Game(learning_rates=train_then_deploy(2, 2))
    contestants = {"oracle": agents.make("equilibrium", game), "several": [agents.make("myopic", game)] * 2}
    games = mesa_env.compare(game, contestants, [0.8, -0.2, 0.1])
    assert list(games) == ["agent", "model", "initial_goal", *mesa_env.METRICS]
    assert {len(column) for column in games.values()} == {9}
    assert games["agent"].tolist() == ["oracle"] * 3 + ["several"] * 6
    assert games["model"].tolist() == [0] * 6 + [1] * 3
    assert games["initial_goal"].tolist() == [0.8, -0.2, 0.1] * 3
    for _, row in pd.DataFrame(games).iterrows():
        agent = agents.make("equilibrium" if row["agent"] == "oracle" else "myopic", game)
        measured = mesa_env.measure(game, mesa_env.rollout(game, agent, row["initial_goal"]))
        assert row[list(measured)].to_dict() == measured


def test_metrics_of_the_equilibrium_do_not_depend_on_the_scale_of_the_goal():
    game = Game()
    games = mesa_env.compare(game, {"oracle": agents.make("equilibrium", game)}, [0.8, -0.5, 0.01])
    for metric in ("c_first", "retention", "nash_conv", "compliance_gap"):
        np.testing.assert_allclose(games[metric], games[metric][0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(games["mesa_cost"] / games["initial_goal"] ** 2, games["mesa_cost"][0] / 0.64)


def sample(values, agent="learner", models=None):
    """A frame of games whose metrics all have the same values."""
    models = np.zeros(len(values), dtype=int) if models is None else models
    columns = {"agent": agent, "model": models, "initial_goal": 0.8}
    return pd.DataFrame(columns | dict.fromkeys(mesa_env.METRICS, values))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_interval_is_that_of_student(confidence):
    values = np.array([0.1, 0.4, 0.35, 0.8, -0.2])
    row = mesa_env.summarize(sample(values), confidence).loc["learner"]
    low, high = stats.t.interval(confidence, 4, loc=values.mean(), scale=stats.sem(values))
    for metric in mesa_env.METRICS:
        assert row[metric, "mean"] == pytest.approx(values.mean())
        assert (row[metric, "low"], row[metric, "high"]) == pytest.approx((low, high))


def test_the_interval_is_over_models_where_there_are_several():
    models = np.array([0, 0, 1, 1, 2, 2])
    values = np.array([1.0, 3.0, 4.0, 4.0, 0.0, 6.0])
    row = mesa_env.summarize(sample(values, models=models)).loc["learner"]
    low, high = stats.t.interval(0.95, 2, loc=3, scale=stats.sem([2, 4, 3]))
    interval = [row["nash_conv", column] for column in ("mean", "low", "high")]
    assert interval == pytest.approx([3, low, high])


def test_one_game_has_a_mean_and_no_interval():
    row = mesa_env.summarize(sample(np.array([0.3]))).loc["learner"]
    assert row["nash_conv", "mean"] == 0.3
    assert np.isnan([row["nash_conv", "low"], row["nash_conv", "high"]]).all()


def test_the_summary_keeps_the_order_and_undefined_values():
    frames = [sample(np.array([1.0, 2.0]), name) for name in ("z", "a", "m")]
    frames[1]["c_deployment"] = np.nan
    summary = mesa_env.summarize(pd.concat(frames, ignore_index=True))
    assert summary.index.tolist() == ["z", "a", "m"]
    assert summary.columns.tolist() == [
        (metric, column) for metric in mesa_env.METRICS for column in ("mean", "low", "high")
    ]
    assert summary.isna().to_numpy().sum() == 3
    assert summary.loc["a", "c_deployment"].isna().all()


def test_the_columns_of_a_comparison_can_be_summarized_as_they_are():
    games = mesa_env.compare(TINY, {"oracle": agents.make("equilibrium", TINY)}, [0.8, -0.2])
    summary = mesa_env.summarize(games)
    pd.testing.assert_frame_equal(summary, mesa_env.summarize(pd.DataFrame(games)))
    assert summary.loc["oracle", ("c_first", "mean")] == games["c_first"].mean()


def test_comparing_nobody_gives_empty_columns():
    assert {len(column) for column in mesa_env.compare(TINY, {}, [0.8]).values()} == {0}


def test_only_agents_are_compared():
    with pytest.raises(TypeError, match=r"an agent must have predict.*; got 3"):
        mesa_env.compare(mesa_env.Game(), {"three": 3}, [0.8])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"played": "batch"}, "played must be one game, such as played.row(0); got a batch of 2"),
        ({"played": 3}, "played must be a Trajectory, as rollout returns; got 3"),
        ({"game": Game([0.5])}, "played must be of the given game"),
        ({"audited": "batch"}, "audited must be the Audit of one game, as audit returns; got Audit("),
        ({"audited": {}}, "audited must be the Audit of one game, as audit returns; got {}"),
    ],
)
def test_measure_takes_one_game_and_its_audit(changes, message):
    game = Game([1.0, 0.0])
    agent = mesa_env.oracle(game)
    batch = mesa_env.rollout(game, agent, [0.5, 0.2])
    whole = {"played": batch, "audited": mesa_env.audit(game, agent, batch)}
    given = {"game": game, "played": batch.row(0)} | changes
    given = {name: whole[name] if value == "batch" else value for name, value in given.items()}
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        mesa_env.measure(**given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": [1, 2]}, "column agent must hold one name per game; got [1, 2]"),
        ({"retention": ["a", "b"]}, "column retention must hold one number per game; got ['a', 'b']"),
        ({"model": [0]}, "column model must hold one number per game; got [0]"),
        ({"confidence": 2}, "confidence must be a finite number in [0, 1]; got 2"),
    ],
)
def test_summaries_are_of_names_and_numbers(changes, message):
    game = Game([1.0, 0.0])
    games = mesa_env.compare(game, {"oracle": mesa_env.oracle(game)}, [0.5, 0.2])
    confidence = changes.pop("confidence", 0.9)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        mesa_env.summarize(games | changes, confidence)
