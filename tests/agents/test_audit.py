"""Audits by simulation against closed forms, and the table of oracles and audits of every game."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import agents
from agents.audit import simulated
from agents.reference import Profile
from agents.solvers import SOLVERS
from mesa_env import (
    GAMES,
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    train_then_deploy,
)

BASE = {  # the closed form holds: no deviation takes goals to their bound, and no agent below makes them 0
    "deploys": Game(train_then_deploy(3, 5), goal_bound=1e6),
    "discounts": Game([1, 0.4, 0, 0.25, 0], discount=0.7, goal_bound=1e6),
    "regularizes": Game([0.3] * 5, discount=0.9, regularization=0.1, goal_bound=1e6),
    "narrow": Game([1, 0, 0.2], coefficient_bound=0.4),
    "myopic": Game([1, 0, 1], discount=0.0, goal_bound=1e6),
    "single": Game([1.0], discount=0.9),
}
every_base_game = pytest.mark.parametrize("game", BASE.values(), ids=BASE)

SHORT = {
    "DeceptiveAlignment": Game([1, 0.5, 0, 0.25], 0.9, 0.1),
    "InfiniteHorizon": InfiniteHorizon([1, 0.5, 0.3], discount=0.8, max_episodes=12),
    "Misconception": Misconception([0.3, 0.1, 0.0, 0.0], 0.9),
    "LearnableDiscount": LearnableDiscount([0.3, 0.1, 0.1, 0.0, 0.0]),
    "HiddenDeployment": HiddenDeployment(np.ones(5), hazard=0.3, shift=1.5, discount=0.9),
    "Decoupling": Decoupling([1, 0.5, 0, 0.25], 0.9, 0.1, decoupling=0.3),
}
every_game = pytest.mark.parametrize("name", SHORT)
GOALS = [0.8, -0.3, 0.05]


def profiles(game):
    bound = game.coefficient_bound
    drawn = np.random.default_rng(0).uniform(-bound, bound, (2, game.episodes))
    return {
        "myopic": agents.make("myopic", game),
        "guard": agents.make("guard", game),
        "compliant": agents.make("compliant", game),
        "drawn": Profile(game, drawn[0]),
        "drawn again": Profile(game, drawn[1]),
    }


def test_the_tables_of_these_tests_and_of_the_solvers_hold_every_game():
    assert SHORT.keys() == GAMES.keys()
    assert all(type(game) is GAMES[name] for name, game in SHORT.items())
    assert SOLVERS.keys() == set(GAMES.values())


# -- Simulation against the closed form -------------------------------------------------------------------


@every_base_game
def test_simulated_gains_are_the_closed_forms(game):
    for name, agent in profiles(game).items():
        played = agents.rollout(game, agent, GOALS)
        found, exact = simulated(game, agent, played), agents.exploitability(game, agent.coefficients)
        assert found.gains.shape == (3, game.episodes)
        for gains in found.gains:
            rounding = 1e-8 * max(1.0, exact.max())
            assert (gains >= exact * (1 - 1e-6) - 10 * rounding).all(), name
            assert (gains <= exact * (1 + 1e-6) + rounding).all(), name


@every_base_game
def test_simulation_finds_nothing_to_gain_at_the_equilibrium(game):
    agent = agents.oracle(game)
    found = simulated(game, agent, agents.rollout(game, agent, GOALS))
    assert (found.gains >= 0).all()
    assert found.relative.max() < 1e-6
    coarse = simulated(game, agent, agents.rollout(game, agent, GOALS), proposals=2, zooms=0)
    np.testing.assert_array_equal(coarse.gains, 0)


@every_base_game
def test_simulation_s_units_and_weights_are_each_agent_s_own(game):
    """Gains in units of θ_n² do not know the goal's scale, and weights are Σ γ^(k−n)."""
    agent = profiles(game)["drawn"]
    found = simulated(game, agent, agents.rollout(game, agent, [0.8, -0.008]))
    np.testing.assert_allclose(found.gains[0], found.gains[1], rtol=1e-6, atol=1e-6)
    weights = [sum(game.discount**k for k in range(game.episodes - n)) for n in range(game.episodes)]
    np.testing.assert_allclose(found.weights, [weights, weights], rtol=1e-12)
    np.testing.assert_array_equal(found.relative, found.gains / found.weights)


def test_goals_of_zero_leave_nothing_to_gain():
    game = BASE["deploys"]
    agent = agents.make("myopic", game)
    found = simulated(game, agent, agents.rollout(game, agent, [0.0, 0.8]))
    np.testing.assert_array_equal(found.gains[0], 0)
    np.testing.assert_array_equal(found.weights[0], 1)
    assert found.gains[1].max() > 0.1


def test_a_batch_is_its_games_one_by_one():
    game = BASE["discounts"]
    agent = profiles(game)["drawn"]
    found = simulated(game, agent, agents.rollout(game, agent, GOALS))
    for row, goal in enumerate(GOALS):
        alone = simulated(game, agent, agents.rollout(game, agent, [goal]))
        np.testing.assert_array_equal(alone.gains[0], found.gains[row])
        np.testing.assert_array_equal(found.row(row).gains, found.gains[row])
        np.testing.assert_array_equal(found.row(row).weights, found.weights[row])


def test_more_zooms_find_no_less():
    game = BASE["deploys"]
    agent = profiles(game)["drawn"]
    played = agents.rollout(game, agent, [0.8])
    found = [simulated(game, agent, played, proposals=11, zooms=zooms).gains for zooms in range(4)]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(found))
    assert (found[-1] > found[0]).any()


# -- Every game's oracle and audit ------------------------------------------------------------------------


@every_game
def test_every_game_s_audit_finds_nothing_to_gain_at_its_oracle_and_much_elsewhere(name):
    game = SHORT[name].in_expectation
    relative = {}
    for agent_name in ("equilibrium", "compliant"):
        agent = agents.make(agent_name, game)
        played = agents.rollout(game, agent, GOALS)
        audited = agents.audit(game, agent, played)
        assert audited.gains.shape == audited.weights.shape == (3, game.episodes)
        assert (audited.gains > -1e-9).all()
        relative[agent_name] = audited.relative.mean()
    assert relative["equilibrium"] < 1e-5
    assert relative["compliant"] > 0.05


@pytest.mark.parametrize("agent", ["myopic", "guard", "compliant"])
def test_simulation_is_a_lower_bound_where_actions_have_two_parts(agent):
    """Coefficient and slope are searched in turn, which can stop short where they constrain each other."""
    game = SHORT["Decoupling"]
    agent = agents.make(agent, game)
    played = agents.rollout(game, agent, GOALS)
    closed, found = agents.audit(game, agent, played), simulated(game, agent, played)
    assert (found.gains <= closed.gains * (1 + 1e-6) + 1e-6).all()
    np.testing.assert_allclose(found.gains, closed.gains, rtol=0.1, atol=1e-3 * closed.gains.max())
    np.testing.assert_allclose(found.weights, closed.weights, rtol=1e-12)


def test_games_that_nobody_has_solved_are_refused():
    class Unsolved(Game):
        """A game of the user's own."""

    game = Unsolved([1.0, 0.0])
    agent = Profile(game, [0.5, 1.0])
    message = f"there are solvers for {', '.join(kind.__name__ for kind in SOLVERS)}; got a Unsolved"
    for refused in (
        lambda: agents.oracle(game),
        lambda: agents.make("equilibrium", game),
        lambda: agents.audit(game, agent, agents.rollout(game, agent, [0.8])),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            refused()


# -- Agents by name ---------------------------------------------------------------------------------------


@every_game
@pytest.mark.parametrize("agent", agents.VARIANT_NAMES)
def test_named_agents_play_whole_games_of_every_variant(name, agent):
    game = SHORT[name]
    played = agents.rollout(game, agents.make(agent, game), [0.8, -0.3, 0.0])
    length = np.isfinite(played.outputs).sum(axis=1)
    assert played.outputs.shape == (3, played.coefficients.shape[1])
    assert (np.abs(played.coefficients[np.isfinite(played.coefficients)]) <= game.coefficient_bound).all()
    if name == "InfiniteHorizon":
        assert len(set(length)) > 1
        assert (length >= 1).all()
    else:
        np.testing.assert_array_equal(length, game.episodes)
    for row in range(3):
        assert np.isfinite(played.goals[row, : length[row] + 1]).all()


@pytest.mark.parametrize("name", [name for name in SHORT if name != "DeceptiveAlignment"])
@pytest.mark.parametrize("agent", ["grid", "precommitment", "best_of_2", "best_of_8", "best_of_64"])
def test_agents_that_know_only_the_base_game_are_refused_elsewhere(name, agent):
    message = (
        f"{agent} knows only the base game; agents of {name} are named {', '.join(agents.VARIANT_NAMES)}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agents.make(agent, SHORT[name])


def test_the_variants_names_are_the_base_game_s_less_those_that_know_only_it():
    assert set(agents.NAMES) - set(agents.VARIANT_NAMES) == {
        "grid",
        "precommitment",
        "best_of_2",
        "best_of_8",
    }
    assert set(agents.VARIANT_NAMES) < set(agents.NAMES)
