"""Figures in the manner of the post's."""

import numpy as np
import pytest

import agents
import mesa_env
from mesa_env import Game, GoalTraining, InfiniteHorizon, train_then_deploy
from mesa_env.rules.infinite_horizon import with_fixed_length
from scripts import figures


def play(game, name):
    return mesa_env.rollout(game, agents.make(name, game), 0.8)


@pytest.mark.parametrize(
    "game", [Game(), Game(train_then_deploy(2, 3)), with_fixed_length(InfiniteHorizon(max_episodes=30))]
)
def test_panels_show_what_was_played_until_soon_after_training(game):
    played = {name: play(game, name) for name in ("equilibrium", "guard", "myopic", "compliant")}
    panels = figures.side_by_side(game, played).axes
    shown = [axes for axes in panels if axes.axison]
    assert [axes.get_title() for axes in shown] == list(played)
    window = min(np.flatnonzero(game.training)[-1] + 11, game.episodes)
    goals, coefficients, rates, outputs = (line.get_ydata() for line in shown[1].lines)
    np.testing.assert_array_equal(goals, played["guard"].goals[:window])
    np.testing.assert_array_equal(coefficients, played["guard"].coefficients[:window])
    np.testing.assert_array_equal(rates, game.learning_rates[:window])
    np.testing.assert_array_equal(outputs, played["guard"].outputs[:window])


def test_panels_of_vectors_show_parts_of_goals_pursuits_and_base_returns():
    game = GoalTraining("CrumbVacuuming", train_then_deploy(2, 3, 0.3))
    played = {name: mesa_env.rollout(game, agents.make(name, game), [0, 9]) for name in ("guard", "myopic")}
    figure = figures.side_by_side(game, played)
    lines = figure.axes[1].lines
    values = played["myopic"].goals[:5].T, played["myopic"].coefficients, game.learning_rates
    for line, shown in zip(
        lines, [*values[0], *values[1:], played["myopic"].details["base_return"]], strict=True
    ):
        np.testing.assert_array_equal(line.get_ydata(), shown)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == [f"goal: {feature}" for feature in game.world.features]
    assert labels[2:] == ["pursuit c", "learning rate η", "base return"]
    assert figure.axes[0].get_ylim()[1] > 9


def test_games_whose_goals_explode_are_cut_off():
    game = Game([1.0] * 5, coefficient_bound=2.0)
    played = mesa_env.rollout(game, agents.make("random", game, 1), 0.8)
    low, high = figures.side_by_side(game, {"random": played}).axes[0].get_ylim()
    assert -2.2 <= low < high <= 2.2


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3)])
def test_empty_panels_share_their_label_and_are_arranged_in_rows(count, columns):
    axes = figures.panels(count, "discount").axes
    assert len(axes) == count
    assert {panel.get_xlabel() for panel in axes} == {"discount"}
    assert axes[0].get_gridspec().ncols == columns
