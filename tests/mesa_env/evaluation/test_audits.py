"""Audits by simulation against closed forms, and the table of oracles and audits of every game."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest

import agents
import mesa_env
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
from mesa_env.agent import Profile
from mesa_env.evaluation.audits import AUDITS
from mesa_env.evaluation.deviations import audit_by_simulation
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.hidden_deployment import FilteringOracle
from mesa_env.solutions.learnable_discount import NaivePlanner
from mesa_env.solutions.oracles import ORACLES

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
    assert AUDITS.keys() == ORACLES.keys() == set(GAMES.values())


# -- Simulation against the closed form -------------------------------------------------------------------


@every_base_game
def test_simulated_gains_are_the_closed_forms(game):
    for name, agent in profiles(game).items():
        played = mesa_env.rollout(game, agent, GOALS)
        found, exact = (
            audit_by_simulation(game, agent, played),
            mesa_env.exploitability(game, agent.coefficients),
        )
        assert found.gains.shape == (3, game.episodes)
        for gains in found.gains:
            rounding = 1e-8 * max(1.0, exact.max())
            assert (gains >= exact * (1 - 1e-6) - 10 * rounding).all(), name
            assert (gains <= exact * (1 + 1e-6) + rounding).all(), name
        best = mesa_env.best_responses(game, agent.coefficients)
        np.testing.assert_allclose(
            found.best, np.broadcast_to(best, found.best.shape), atol=2e-3, err_msg=name
        )
        closed = mesa_env.audit(game, agent, played)
        np.testing.assert_allclose(closed.best, np.broadcast_to(best, closed.best.shape), rtol=1e-5)


@every_base_game
def test_simulation_finds_nothing_to_gain_at_the_equilibrium(game):
    agent = mesa_env.oracle(game)
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))
    assert (found.gains >= 0).all()
    assert found.relative.max() < 1e-6
    coarse = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS), proposals=2, zooms=0)
    np.testing.assert_array_equal(coarse.gains, 0)


@every_base_game
def test_simulation_s_units_and_weights_are_each_agent_s_own(game):
    """Gains in units of θ_n² do not know the goal's scale, and weights are Σ γ^(k−n)."""
    agent = profiles(game)["drawn"]
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, [0.8, -0.008]))
    np.testing.assert_allclose(found.gains[0], found.gains[1], rtol=1e-6, atol=1e-6)
    weights = [sum(game.discount**k for k in range(game.episodes - n)) for n in range(game.episodes)]
    np.testing.assert_allclose(found.weights, [weights, weights], rtol=1e-12)
    np.testing.assert_array_equal(found.relative, found.gains / found.weights)


def test_goals_of_zero_leave_nothing_to_gain():
    game = BASE["deploys"]
    agent = agents.make("myopic", game)
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, [0.0, 0.8]))
    np.testing.assert_array_equal(found.gains[0], 0)
    np.testing.assert_array_equal(found.weights[0], 1)
    assert found.gains[1].max() > 0.1


def test_a_batch_is_its_games_one_by_one():
    game = BASE["discounts"]
    agent = profiles(game)["drawn"]
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))
    for row, goal in enumerate(GOALS):
        alone = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, [goal]))
        np.testing.assert_array_equal(alone.gains[0], found.gains[row])
        np.testing.assert_array_equal(found.row(row).gains, found.gains[row])
        np.testing.assert_array_equal(found.row(row).weights, found.weights[row])


def test_more_zooms_find_no_less():
    game = BASE["deploys"]
    agent = profiles(game)["drawn"]
    played = mesa_env.rollout(game, agent, [0.8])
    found = [audit_by_simulation(game, agent, played, proposals=11, zooms=zooms).gains for zooms in range(4)]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(found))
    assert (found[-1] > found[0]).any()


# -- What was played is what is audited --------------------------------------------------------------------


@every_base_game
def test_turns_are_audited_as_they_were_played_and_successors_as_they_would_play(game):
    """Against the closed form of profiles that are one agent's up to a turn, and another's after it."""
    player, successor = (profiles(game)[name] for name in ("drawn", "drawn again"))
    played = mesa_env.rollout(game, player, GOALS)
    found = audit_by_simulation(game, successor, played)
    one, other = player.coefficients, successor.coefficients
    episodes = range(game.episodes)
    exact = np.array(
        [mesa_env.exploitability(game, np.append(one[: n + 1], other[n + 1 :]))[n] for n in episodes]
    )
    np.testing.assert_allclose(found.gains, np.tile(exact, (3, 1)), rtol=1e-6, atol=1e-7 * (1 + exact.max()))


def test_nobody_is_asked_to_play_a_game_again():
    """The states of another game are audited where they are told to be, by an agent that never met them."""
    game = SHORT["Misconception"]
    agent = agents.make("compliant", game)
    believing, doubting = (dataclasses.replace(game, initial_belief=belief) for belief in (0.9, -0.4))
    for other in (believing, doubting):
        expected = audit_by_simulation(other, agent, mesa_env.rollout(other, agent, GOALS))
        found = audit_by_simulation(game, agent, mesa_env.rollout(other, agent, GOALS))
        np.testing.assert_array_equal(found.gains, expected.gains)
        assert (
            found.gains != audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS)).gains
        ).any()


class Forgetful:
    """Plays 1 and remembers something, which it never looks at."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.ones((len(observation), 1), dtype=np.float32), np.zeros(len(observation))


@pytest.mark.parametrize("name", ["random", "best_of_8", "precommitment", Forgetful])
def test_agents_that_draw_or_remember_are_not_audited_by_simulation(name):
    game = BASE["discounts"]
    agent = name() if isinstance(name, type) else agents.make(name, game)
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))
    np.testing.assert_array_equal(found.gains, np.full((3, game.episodes), np.nan))
    assert np.isnan(found.relative).all()


@pytest.mark.parametrize("game", [SHORT["HiddenDeployment"], SHORT["InfiniteHorizon"]])
def test_games_of_chance_cannot_be_simulated(game):
    assert game.stochastic
    agent = agents.make("myopic", game)
    message = f"only games without chance can be audited by simulation; got {type(game).__name__}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))


def test_without_chance_in_its_length_the_game_without_end_is_simulated_as_the_base_game():
    game = with_fixed_length(SHORT["InfiniteHorizon"])
    base = Game(game.learning_rates, game.discount)
    assert not game.stochastic
    assert not base.stochastic
    found = [
        audit_by_simulation(rules, agent, mesa_env.rollout(rules, agent, GOALS))
        for rules in (game, base)
        for agent in (agents.make("compliant", rules),)
    ]
    assert found[0].gains.max() > 0.1
    np.testing.assert_array_equal(*(audited.gains for audited in found))


# -- Every game's oracle and audit ------------------------------------------------------------------------


@every_game
def test_every_game_s_audit_finds_nothing_to_gain_at_its_oracle_and_much_elsewhere(name):
    game = with_fixed_length(SHORT[name])
    relative = {}
    for agent_name in ("equilibrium", "compliant"):
        agent = agents.make(agent_name, game)
        played = mesa_env.rollout(game, agent, GOALS)
        audited = mesa_env.audit(game, agent, played)
        distinct = game.stationary_from + 1 if name == "InfiniteHorizon" else game.episodes
        assert audited.gains.shape == audited.weights.shape == audited.best.shape == (3, distinct)
        excess = played.coefficients[:, :distinct] - audited.best
        if agent_name == "equilibrium":
            np.testing.assert_allclose(excess, 0, atol=2e-3)
        else:
            assert excess.max() < 0, "who complies shows too little of its goal"
        assert (audited.gains > -1e-9).all()
        relative[agent_name] = audited.relative.mean()
    assert relative["equilibrium"] < 1e-5
    assert relative["compliant"] > 0.05


@every_game
def test_one_game_is_audited_as_a_batch_of_one(name):
    game = with_fixed_length(SHORT[name])
    agent = agents.make("compliant", game)
    alone = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, 0.8))
    batch = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8]))
    assert alone.gains.shape == batch.gains.shape[1:]
    assert alone.gains.max() > 0
    np.testing.assert_array_equal(alone.gains, batch.gains[0])
    np.testing.assert_array_equal(alone.weights, batch.weights[0])
    np.testing.assert_array_equal(alone.best, batch.best[0])


@pytest.mark.parametrize("goals", [0.8, GOALS])
def test_games_whose_length_was_left_to_chance_are_not_audited(goals):
    game = SHORT["InfiniteHorizon"]
    agent = agents.make("myopic", game)
    with pytest.raises(ValueError, match=r"audited in expectation: play with_fixed_length\(game\)$"):
        mesa_env.audit(game, agent, mesa_env.rollout(game, agent, goals))


@pytest.mark.parametrize("agent", ["equilibrium", "myopic", "guard", "compliant"])
@pytest.mark.parametrize(("decoupling", "tolerance"), [(0.0, 1e-6), (0.05, 1e-6), (0.3, 1e-6), (10.0, 1e-4)])
def test_simulation_finds_the_closed_form_s_gains_where_actions_have_two_parts(agent, decoupling, tolerance):
    """Coefficient and slope are searched in turn and together, for they constrain each other.

    Where they hardly do, the way down is along a curve c s, and the search may stop a little above its end.
    """
    game = dataclasses.replace(SHORT["Decoupling"], decoupling=decoupling)
    agent = agents.make(agent, game)
    played = mesa_env.rollout(game, agent, GOALS)
    closed, found = mesa_env.audit(game, agent, played), audit_by_simulation(game, agent, played)
    assert (found.gains <= closed.gains * (1 + 1e-6) + 1e-6).all()
    np.testing.assert_allclose(found.gains, np.maximum(closed.gains, 0), rtol=tolerance, atol=1e-7)
    np.testing.assert_allclose(found.weights, closed.weights, rtol=1e-12)
    np.testing.assert_allclose(found.best, closed.best, atol=0.02)


def test_games_that_nobody_has_solved_are_refused():
    class Unsolved(Game):
        """A game of the user's own."""

    game = Unsolved([1.0, 0.0])
    agent = Profile(game, [0.5, 1.0])
    names = ", ".join(kind.__name__ for kind in ORACLES)
    for what, refused in (
        ("oracles", lambda: mesa_env.oracle(game)),
        ("oracles", lambda: agents.make("equilibrium", game)),
        ("audits", lambda: mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8]))),
    ):
        with pytest.raises(ValueError, match=re.escape(f"there are {what} for {names}; got Unsolved")):
            refused()


# -- Agents by name ---------------------------------------------------------------------------------------


OWN = {"LearnableDiscount": ("naive",), "HiddenDeployment": ("filtering",)}


def test_variants_have_agents_of_their_own():
    hidden = dataclasses.replace(SHORT["HiddenDeployment"], observed="signal")
    assert type(agents.make("naive", SHORT["LearnableDiscount"])) is NaivePlanner
    assert type(agents.make("filtering", hidden)) is FilteringOracle
    with pytest.raises(ValueError, match="needs a game with observed='signal'; got 'belief'"):
        agents.make("filtering", SHORT["HiddenDeployment"])


@every_game
@pytest.mark.parametrize("agent", ["naive", "filtering", "nobody"])
def test_refusals_list_the_names_of_the_game_s_own_agents(name, agent):
    names = agents.NAMES if name == "DeceptiveAlignment" else agents.VARIANT_NAMES
    own = OWN.get(name, ())
    if agent in own:
        return
    message = f"agents are named {', '.join((*names, *own))}; got {agent!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agents.make(agent, SHORT[name])


@every_game
@pytest.mark.parametrize("agent", agents.VARIANT_NAMES)
def test_named_agents_play_whole_games_of_every_variant(name, agent):
    game = SHORT[name]
    played = mesa_env.rollout(game, agents.make(agent, game), [0.8, -0.3, 0.0])
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
    named = ", ".join((*agents.VARIANT_NAMES, *OWN.get(name, ())))
    message = f"{agent} knows only the base game; agents of {name} are named {named}"
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
