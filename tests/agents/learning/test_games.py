"""What learners need to know about each kind of game."""

import numpy as np
import pytest

from agents.learning.games import NEGLIGIBLE_SHARE, cost_is_complete, decisions_alike, typical_goals
from mesa_env import GAMES, Game, InfiniteHorizon
from tests.agents.learning.learners import SHORT


def test_the_shared_table_of_short_games_holds_every_game():
    assert SHORT.keys() == GAMES.keys()
    assert all(type(game) is GAMES[name] for name, game in SHORT.items())


@pytest.mark.parametrize("name", SHORT)
def test_decisions_are_alike_where_observations_hold_only_goal_and_clock(name):
    """The games that show more are those in which more than the scale of the goal matters."""
    assert decisions_alike(SHORT[name]) == (len(SHORT[name].observation_bounds[0]) == 4)


@pytest.mark.parametrize("name", SHORT)
def test_only_an_endless_game_cuts_costs_off(name):
    complete = cost_is_complete(SHORT[name])
    assert complete.shape == (SHORT[name].episodes,)
    assert complete.all() == (name != "InfiniteHorizon")


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.9])
def test_a_cost_is_complete_where_a_tenth_of_its_weights_or_less_is_cut_off(discount):
    game = InfiniteHorizon([1.0], discount=discount, max_episodes=30)
    for n, complete in enumerate(cost_is_complete(game)):
        kept = sum(discount**k for k in range(game.episodes - n)) * (1 - discount)
        assert complete == (1 - kept <= NEGLIGIBLE_SHARE)
    assert cost_is_complete(game).all() == (discount == 0)


@pytest.mark.parametrize(
    ("initial_goal", "goals"), [(0.8, [0.8]), ((-1, 1), [-0.75, -0.25, 0.25, 0.75]), ((0.5, 0.5), [0.5] * 4)]
)
def test_typical_goals_are_spread_over_where_the_game_draws_them(initial_goal, goals):
    np.testing.assert_allclose(typical_goals(Game(initial_goal=initial_goal)), goals)
