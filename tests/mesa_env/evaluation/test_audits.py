"""The audit of every kind of game; audits by simulation against closed forms."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest

import agents
import mesa_env
from mesa_env import GAMES, Game, InfiniteHorizon, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.evaluation.audits import AUDITS, audit_by_simulation, audit_infinite_horizon
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from tests.conftest import ONE_OF_EACH_KIND, every_kind, goals_of
from tests.mesa_env.solutions.test_infinite_horizon import MIXED, endless

GOALS = [0.8, -0.3, 0.05]


def test_there_is_an_audit_of_every_kind_of_game():
    assert AUDITS.keys() == set(GAMES.values())


def test_games_without_an_audit_are_refused():
    class Unsolved(Game):
        """A game of the user's own."""

    game = Unsolved([1.0, 0.0])
    agent = Profile(game, [0.5, 1.0])
    names = ", ".join(kind.__name__ for kind in AUDITS)
    with pytest.raises(ValueError, match=re.escape(f"there are audits for {names}; got Unsolved")):
        mesa_env.audit(game, agent, mesa_env.rollout(game, agent, [0.8]))


@every_kind
def test_every_audit_finds_nothing_to_gain_at_the_oracle_and_much_elsewhere(name):
    game = with_fixed_length(ONE_OF_EACH_KIND[name])
    relative = {}
    for agent_name in ("equilibrium", "compliant"):
        agent = agents.make(agent_name, game)
        played = mesa_env.rollout(game, agent, goals_of(game, *GOALS))
        audited = mesa_env.audit(game, agent, played)
        distinct = game.stationary_from + 1 if name == "InfiniteHorizon" else game.episodes
        assert audited.gains.shape == audited.weights.shape == audited.best.shape == (3, distinct)
        excess = played.coefficients[:, :distinct] - audited.best
        if agent_name == "equilibrium":
            np.testing.assert_allclose(excess, 0, atol=2e-3)
        else:
            assert excess.max() <= 0, "a compliant agent shows too little of its goal"
            assert excess.min() < 0
        assert (audited.gains > -1e-9).all()
        relative[agent_name] = audited.relative.mean()
    assert relative["equilibrium"] < 1e-5
    assert relative["compliant"] > 0.05


@every_kind
def test_one_game_is_audited_as_a_batch_of_one(name):
    game = with_fixed_length(ONE_OF_EACH_KIND[name])
    agent = agents.make("compliant", game)
    alone = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, goals_of(game, -0.8)[0]))
    batch = mesa_env.audit(game, agent, mesa_env.rollout(game, agent, goals_of(game, -0.8)))
    assert alone.gains.shape == batch.gains.shape[1:]
    assert alone.gains.max() > 0
    np.testing.assert_array_equal(alone.gains, batch.gains[0])
    np.testing.assert_array_equal(alone.weights, batch.weights[0])
    np.testing.assert_array_equal(alone.best, batch.best[0])


@pytest.mark.parametrize("goals", [0.8, GOALS])
def test_games_of_random_length_are_not_audited(goals):
    game = ONE_OF_EACH_KIND["InfiniteHorizon"]
    agent = agents.make("myopic", game)
    with pytest.raises(
        ValueError, match=r"audited in expectation: play and audit with_fixed_length\(game\)$"
    ):
        mesa_env.audit(game, agent, mesa_env.rollout(game, agent, goals))


@pytest.mark.parametrize("game", [endless(), MIXED, endless(discount=0.0)])
def test_in_endless_games_there_is_nothing_to_gain_at_the_oracle_and_much_elsewhere(game):
    equilibrium = solve_infinite_horizon(game)
    audited = audit_infinite_horizon(game, equilibrium[None], np.full((1, 1), 0.8))
    assert audited.gains.shape == audited.weights.shape == (1, game.stationary_from + 1)
    assert np.abs(audited.gains).max() < 1e-12
    np.testing.assert_allclose(audited.weights, 1 / (1 - game.discount), rtol=1e-15)
    others = np.stack([equilibrium * 0.8, np.zeros_like(equilibrium)])
    gains = audit_infinite_horizon(game, others, np.full((2, 1), 0.8)).gains
    assert (gains >= 0).all()
    assert (gains[:, 0] > 1e-3).all()


@pytest.mark.parametrize("schedule", [[0.5], [0.5, 0.2], [0.3, 1, 0.5], [1, 0, 0.3, 0.1]])
def test_an_endless_game_is_audited_as_a_very_long_one(schedule):
    """Against played sums: J_n of the profile continued forever, minus the least over a fine grid.

    Agents that face the same game share an entry, the mean of theirs.
    """
    game = InfiniteHorizon(schedule, discount=0.8, max_episodes=4)
    profile = np.array([0.6, 0.2, 0.9, 0.4])
    grid = np.linspace(0, 2, 20_001)

    def costs(n, first):
        theta, total, judge = np.ones_like(first), np.zeros_like(first), 1.0
        for k in range(200):
            c = first if k == 0 else profile[min(n + k, 3)]
            total = total + 0.8**k * (c * theta - judge) ** 2
            theta = theta * (1 - 2 * game.learning_rates[min(n + k, 3)] * c * c)
        return total

    gains = [costs(n, profile[n : n + 1])[0] - costs(n, grid).min() for n in range(4)]
    first = len(schedule) - 1
    expected = [*gains[:first], np.mean(gains[first:])]
    both = np.stack([profile, solve_infinite_horizon(game)])
    audited = audit_infinite_horizon(game, both, np.full((2, 1), 0.8))
    assert audited.gains.shape == (2, first + 1)
    np.testing.assert_allclose(audited.gains[0], expected, atol=1e-7)
    np.testing.assert_allclose(audited.gains[1], 0, atol=1e-12)


# -- Audits by simulation ----------------------------------------------------------------------------------

BASE = {  # the closed form holds: no deviation takes goals to their bound, and no agent below makes them 0
    "deploys": Game(train_then_deploy(3, 5), goal_bound=1e6),
    "discounts": Game([1, 0.4, 0, 0.25, 0], discount=0.7, goal_bound=1e6),
    "regularizes": Game([0.3] * 5, discount=0.9, regularization=0.1, goal_bound=1e6),
    "narrow": Game([1, 0, 0.2], coefficient_bound=0.4),
    "myopic": Game([1, 0, 1], discount=0.0, goal_bound=1e6),
    "single": Game([1.0], discount=0.9),
}


every_base_game = pytest.mark.parametrize("game", BASE.values(), ids=BASE)


def profiles(game):
    bound = game.coefficient_bound
    uniform = np.random.default_rng(0).uniform(-bound, bound, (2, game.episodes))
    return {
        "myopic": agents.make("myopic", game),
        "guard": agents.make("guard", game),
        "compliant": agents.make("compliant", game),
        "random": Profile(game, uniform[0]),
        "other": Profile(game, uniform[1]),
    }


@every_base_game
def test_simulated_gains_are_those_of_the_closed_form(game):
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
def test_units_and_weights_are_those_of_each_agent(game):
    """Gains in units of θ_n² do not depend on the scale of the goal, and weights are Σ γ^(k−n)."""
    agent = profiles(game)["random"]
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
    agent = profiles(game)["random"]
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))
    for row, goal in enumerate(GOALS):
        alone = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, [goal]))
        np.testing.assert_array_equal(alone.gains[0], found.gains[row])
        np.testing.assert_array_equal(found.row(row).gains, found.gains[row])
        np.testing.assert_array_equal(found.row(row).weights, found.weights[row])


def test_more_zooms_find_no_less():
    game = BASE["deploys"]
    agent = profiles(game)["random"]
    played = mesa_env.rollout(game, agent, [0.8])
    found = [audit_by_simulation(game, agent, played, proposals=11, zooms=zooms).gains for zooms in range(4)]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(found))
    assert (found[-1] > found[0]).any()


@every_base_game
def test_turns_are_audited_as_they_were_played_and_successors_as_they_would_play(game):
    """Against the closed form of profiles that are one agent's up to a turn, and another's after it."""
    player, successor = (profiles(game)[name] for name in ("random", "other"))
    played = mesa_env.rollout(game, player, GOALS)
    found = audit_by_simulation(game, successor, played)
    one, other = player.coefficients, successor.coefficients
    episodes = range(game.episodes)
    exact = np.array(
        [mesa_env.exploitability(game, np.append(one[: n + 1], other[n + 1 :]))[n] for n in episodes]
    )
    np.testing.assert_allclose(found.gains, np.tile(exact, (3, 1)), rtol=1e-6, atol=1e-7 * (1 + exact.max()))


def test_an_audit_needs_only_the_states_that_were_played():
    """States of another game are audited as they are, although the agent never played them."""
    game = ONE_OF_EACH_KIND["Misconception"]
    agent = agents.make("compliant", game)
    believing, doubting = (dataclasses.replace(game, initial_belief=belief) for belief in (0.9, -0.4))
    for other in (believing, doubting):
        expected = audit_by_simulation(other, agent, mesa_env.rollout(other, agent, GOALS))
        found = audit_by_simulation(game, agent, mesa_env.rollout(other, agent, GOALS))
        np.testing.assert_array_equal(found.gains, expected.gains)
        assert (
            found.gains != audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS)).gains
        ).any()


@pytest.mark.parametrize("name", ["DeceptiveAlignment", "Misconception", "LearnableDiscount", "Decoupling"])
def test_one_game_is_simulated_as_a_batch_of_one_is(name):
    game = ONE_OF_EACH_KIND[name]
    agent = agents.make("guard", game)
    alone, batch = (
        audit_by_simulation(game, agent, mesa_env.rollout(game, agent, at)) for at in (0.8, [0.8])
    )
    for one, same in zip(alone, batch.row(0), strict=True):
        assert one.shape == (game.episodes,)
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proposals": 1}, "proposals must be a whole number in 2…1000000; got 1"),
        ({"proposals": 2.5}, "proposals must be a whole number in 2…1000000; got 2.5"),
        ({"zooms": -1}, "zooms must be a whole number in 0…10; got -1"),
        ({"zooms": True}, "zooms must be a whole number in 0…10; got True"),
        ({"played": None}, "played must be a Trajectory, as rollout returns; got None"),
        ({"agent": 3}, "an agent must have predict"),
        ({"game": "Game"}, "game must be a game of type Rules"),
        ({"game": Game([0.5])}, "played must be of the given game"),
    ],
)
def test_simulation_refuses_in_one_sentence_what_it_cannot_search(changes, message):
    game = BASE["discounts"]
    agent = agents.make("myopic", game)
    given = {"game": game, "agent": agent, "played": mesa_env.rollout(game, agent, 0.5)}
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        audit_by_simulation(**(given | changes))


class UselessMemory:
    """Plays 1 and keeps a memory that it never uses."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.ones((len(observation), 1), dtype=np.float32), np.zeros(len(observation))


@pytest.mark.parametrize("name", ["random", "best_of_8", "precommitment", UselessMemory])
def test_agents_that_draw_or_remember_are_not_audited_by_simulation(name):
    game = BASE["discounts"]
    agent = name() if isinstance(name, type) else agents.make(name, game)
    found = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))
    np.testing.assert_array_equal(found.gains, np.full((3, game.episodes), np.nan))
    assert np.isnan(found.relative).all()


@pytest.mark.parametrize("game", [ONE_OF_EACH_KIND["HiddenDeployment"], ONE_OF_EACH_KIND["InfiniteHorizon"]])
def test_stochastic_games_cannot_be_simulated(game):
    assert game.stochastic
    agent = agents.make("myopic", game)
    message = f"only deterministic games can be audited by simulation; got {type(game).__name__}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        audit_by_simulation(game, agent, mesa_env.rollout(game, agent, GOALS))


def test_at_a_fixed_length_the_endless_game_is_simulated_as_the_base_game():
    game = with_fixed_length(ONE_OF_EACH_KIND["InfiniteHorizon"])
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


@pytest.mark.parametrize("agent", ["equilibrium", "myopic", "guard", "compliant"])
@pytest.mark.parametrize(("decoupling", "tolerance"), [(0.0, 1e-6), (0.05, 1e-6), (0.3, 1e-6), (10.0, 1e-4)])
def test_simulation_finds_the_gains_of_the_closed_form_where_actions_have_two_parts(
    agent, decoupling, tolerance
):
    """Coefficient and slope are searched in turn and together, for they constrain each other.

    Where they hardly do, the way down is along a curve c s, and the search may stop a little above its end.
    """
    game = dataclasses.replace(ONE_OF_EACH_KIND["Decoupling"], decoupling=decoupling)
    agent = agents.make(agent, game)
    played = mesa_env.rollout(game, agent, GOALS)
    closed, found = mesa_env.audit(game, agent, played), audit_by_simulation(game, agent, played)
    assert (found.gains <= closed.gains * (1 + 1e-6) + 1e-6).all()
    np.testing.assert_allclose(found.gains, np.maximum(closed.gains, 0), rtol=tolerance, atol=1e-7)
    np.testing.assert_allclose(found.weights, closed.weights, rtol=1e-12)
    np.testing.assert_allclose(found.best, closed.best, atol=0.02)


def test_the_game_of_another_is_not_audited():
    """Not even one of as many episodes: its numbers would be of no game."""
    game, other = Game([1.0, 1.0, 0.0, 0.0]), Game([3.0, 3.0, 0.0, 0.0], discount=0.3)
    played = mesa_env.rollout(game, mesa_env.oracle(game), 0.8)
    with pytest.raises(ValueError, match="played must be of the given game"):
        mesa_env.audit(other, mesa_env.oracle(other), played)
    drawn = Game([1.0, 1.0, 0.0, 0.0], initial_goal=(-1.0, 1.0))
    assert (mesa_env.audit(drawn, mesa_env.oracle(drawn), played).gains < 1e-12).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: mesa_env.summarize([]),
        lambda: mesa_env.summarize(5),
        lambda: mesa_env.measure(Game(), 5),
        lambda: mesa_env.play(5, mesa_env.oracle(Game())),
    ],
)
def test_what_is_no_game_no_table_and_no_environment_is_refused(call):
    with pytest.raises(TypeError, match="must"):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proposals": 1}, "proposals must be a whole number in 2…1000000; got 1"),
        ({"proposals": 61.0}, "proposals must be a whole number in 2…1000000; got 61.0"),
        ({"proposals": 10**400}, "proposals must be a whole number in 2…1000000; got 1000"),
        ({"zooms": -1}, "zooms must be a whole number in 0…10; got -1"),
        ({"zooms": None}, "zooms must be a whole number in 0…10; got None"),
        (
            {"played": mesa_env.rollout(Game([1.0]), Profile(Game([1.0]), [1.0]), 0.5)},
            "played must be of the given game",
        ),
    ],
)
def test_an_audit_by_simulation_says_what_it_can_search(change, message):
    game = Game([1.0, 0.5, 0.0])
    agent = Profile(game, [0.5, 0.5, 1.0])
    arguments = {"game": game, "agent": agent, "played": mesa_env.rollout(game, agent, 0.5)}
    with pytest.raises(ValueError, match=message):
        audit_by_simulation(**arguments | change)
    for wrong in ({"game": None}, {"agent": 3}, {"played": None}):
        with pytest.raises(TypeError, match=r"must .*; got"):
            audit_by_simulation(**arguments | wrong)
    one = audit_by_simulation(**arguments)
    batch = audit_by_simulation(game, agent, mesa_env.rollout(game, agent, [0.5]))
    np.testing.assert_array_equal(one.gains, batch.gains[0])


@pytest.mark.parametrize("bound", [0.5, 1e-3, 1e-30])
def test_an_endless_game_may_have_any_bound_of_goals(bound):
    """Unit sums know no scale: neither does the audit."""
    game = InfiniteHorizon([1.0, 0.0], discount=0.9, goal_bound=bound, initial_goal=bound / 2)
    agent = mesa_env.oracle(game)
    assert agent.certificate.gain < 1e-12
    game = with_fixed_length(game)
    wide = dataclasses.replace(game, goal_bound=10.0)
    found, expected = (
        mesa_env.audit(each, myopic, mesa_env.rollout(each, myopic, bound / 2)).gains
        for each in (game, wide)
        for myopic in [agents.make("myopic", each)]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
