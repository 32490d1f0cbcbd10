"""Losses by agent, of rows that are made up."""

import numpy as np
import pytest

from agents.benchmark.losses import average_losses, draw_episodes, summarize_losses, training_episodes
from mesa_env import Game, HiddenDeployment, InfiniteHorizon
from tests.agents.benchmark.test_summaries import FEW, SMALL, made_up_rows, made_up_sweep


def rows_that_lose(gains, excess):
    """One run in the tiny game, which trains for two episodes and is deployed for three."""
    rows = made_up_rows(SMALL, {"ppo": 1.0}, range(1))
    rows.at[0, "episode_exploitability"], rows.at[0, "episode_excess"] = gains, excess
    return rows


def test_losses_are_attributed_to_agents_phases_and_directions():
    rows = rows_that_lose([0.1, 0.3, 0.0, 0.5, 0.1], [0.02, -0.04, 0.0, -0.1, 0.3])
    row = summarize_losses(made_up_sweep(rows)).iloc[0]
    assert (row["first"], row["last"]) == (3, 3)
    assert row["in_training"] == pytest.approx(0.4)
    assert row["training_error"] == pytest.approx(0.03)
    assert row["open_share"] == pytest.approx(0.2)


def test_rounding_below_zero_is_no_gain():
    losses = average_losses(rows_that_lose([-1e-17, 0.1, 0.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0, 0.0]))
    assert losses.exploitability.min() == 0
    assert losses.open_share == 0


def test_what_was_not_measured_has_no_losses():
    for gains in ([], [np.nan] * 5):
        rows = rows_that_lose(gains, [0.0] * len(gains))
        assert average_losses(rows) is None
        assert summarize_losses(made_up_sweep(rows)).empty


def test_training_episodes_are_unknown_where_they_are_random():
    assert training_episodes(Game()).sum() == 20
    assert len(training_episodes(InfiniteHorizon(max_episodes=50, discount=0.9))) == 50
    assert training_episodes(HiddenDeployment()) is None


def test_the_heat_map_has_the_sign_of_the_error():
    sweep = made_up_sweep(made_up_rows(SMALL, FEW, range(3)))
    axes = draw_episodes(sweep).axes[0]
    shown = axes.images[0].get_array()
    excess = np.stack(sweep.run("tiny", "td3")["episode_excess"].tolist())
    same_sign = (excess > 0).all(axis=0) | (excess < 0).all(axis=0)
    assert same_sign.any()
    np.testing.assert_array_equal(np.sign(shown[1][same_sign]), np.sign(excess[0][same_sign]))
    assert [label.get_text() for label in axes.get_yticklabels()] == list(FEW)
