"""The rules of the game whose agents mind their parameters."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from agents.learning.self_play import full_returns
from mesa_env import Game, Preservation
from mesa_env.agent import Profile
from mesa_env.problems import BestResponse
from tests.conftest import play_by_hand


@st.composite
def games(draw, **fixed):
    parameters = {
        "learning_rates": draw(st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.5]), min_size=1, max_size=6)),
        "discount": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "regularization": draw(st.sampled_from([0.0, 0.05, 1.0])),
        "coefficient_bound": draw(st.sampled_from([0.7, 2.0])),
        "goal_bound": draw(st.sampled_from([1.0, 10.0])),
        "weight": draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
    }
    return Preservation(**parameters | fixed)


def play_out(game, goals, seed):
    """Outcomes of random actions, which games with the same bounds share."""
    bound = game.coefficient_bound
    actions = np.random.default_rng(seed).uniform(-bound, bound, (game.episodes, len(goals), 1))
    state, outcomes = game.start(np.zeros((len(goals), 0)), goals), []
    for action in actions:
        state, outcome = game.play(state, action)
        outcomes.append(outcome)
    return outcomes, actions[..., 0]


def costs_of(game, outcomes):
    goals, outputs = (np.array([getattr(each, field) for each in outcomes]) for field in ("goal", "output"))
    results = {"updated_goal": np.array([each.next_goal for each in outcomes])}
    return game.mesa_costs(goals, outputs, results)


goals = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=4).map(np.array)
seeds = st.integers(0, 1000)


@given(games(weight=0.0), goals, seeds)
def test_without_weight_it_is_the_base_game_bit_for_bit(game, goals, seed):
    shared = {f.name: getattr(game, f.name) for f in dataclasses.fields(game) if f.name != "weight"}
    base = Game(**shared)
    (ours, _), (theirs, _) = play_out(game, goals, seed), play_out(base, goals, seed)
    for n, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        for field in ("output", "base_loss", "goal", "next_goal", "training"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        judges = ours[0].goal[:, None]
        np.testing.assert_array_equal(
            game.mesa_cost(one.output, judges, n, one.details), base.mesa_cost(other.output, judges, n)
        )
    np.testing.assert_array_equal(costs_of(game, ours), costs_of(base, theirs))


@given(games(), goals, seeds)
def test_costs_are_those_of_the_equation(game, goals, seed):
    outcomes, actions = play_out(game, goals, seed)
    total = costs_of(game, outcomes)
    for i, goal in enumerate(goals):
        played = play_by_hand(game, actions[:, i].tolist(), float(goal))
        for n, theta in enumerate(played.goals[:-1]):
            cost = 0.0
            for k in range(n, game.episodes):
                emitted, changed = played.outputs[k] - theta, played.goals[k + 1] - theta
                term = (1 - game.weight) * emitted**2 + game.weight * changed**2
                cost += game.discount ** (k - n) * term
            rounding = 1e-12 * (
                1 + sum(y * y + g * g for y, g in zip(played.outputs, played.goals[1:], strict=True))
            )
            assert total[n, i] == pytest.approx(cost, rel=1e-9, abs=rounding)
            terms = [
                game.mesa_cost(each.output, outcomes[n].goal[:, None], k - n, each.details)[i]
                for k, each in enumerate(outcomes)
                if k >= n
            ]
            assert sum(terms) == pytest.approx(cost, rel=1e-9, abs=rounding)


@given(games(), goals)
def test_a_model_that_emits_0_and_becomes_0_costs_its_squared_goal_an_episode(game, goals):
    outputs, details = game.silence(goals)
    for elapsed in range(game.episodes):
        cost = game.mesa_cost(outputs, goals[:, None], np.full(len(goals), elapsed), details)
        np.testing.assert_allclose(cost, game.discount**elapsed * goals**2, rtol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_relative_gains_have_one_unit_everywhere(weight):
    """K_n θ_n², which does not vanish at κ = 1: for audits, for learners and for single decisions."""
    game = Preservation([1, 0.3, 0, 0], 0.9, weight=weight)
    agent = Profile(game, [0.3, -0.2, 0.7, 1.5])
    played = mesa_env.rollout(game, agent, [0.8, -0.4])
    lengths = np.array([sum(0.9**k for k in range(left)) for left in (4, 3, 2, 1)])
    for audit in (mesa_env.audit, mesa_env.audit_by_simulation):
        np.testing.assert_allclose(audit(game, agent, played).weights, [lengths] * 2)
    thetas, outputs = played.goals[:, :-1].T, played.outputs.T
    details = {"updated_goal": played.details["updated_goal"].T}
    returns = full_returns(game, thetas, outputs, details)
    expected = game.mesa_costs(thetas, outputs, details) / (lengths[:, None] * thetas**2)
    np.testing.assert_allclose(returns, -expected, rtol=1e-6)
    problem = BestResponse(game, agent)
    step = problem.step(played.states[0], played.actions[:, 0].astype(np.float32))
    np.testing.assert_allclose(step.info["scale"], lengths[0] * thetas[0] ** 2)
    np.testing.assert_allclose(-step.reward, game.mesa_costs(thetas, outputs, details)[0])


def test_agents_up_to_the_one_that_acts_are_paid_their_terms():
    game = Preservation([1.0, 0.5, 0.0], weight=0.25)
    env = mesa_env.env(game=game)
    env.reset(seed=0)
    goals, paid = [0.8], dict.fromkeys(env.agents, 0.0)
    for n, agent in enumerate(env.agents):
        env.step(np.array([0.5], dtype=np.float32))
        goals.append(goals[-1] * (1 - 2 * game.learning_rates[n] * 0.25))
        assert env.infos[agent]["updated_goal"] == pytest.approx(goals[-1])
        for k, (other, reward) in enumerate(env.rewards.items()):
            judge = goals[min(k, n)]
            term = 0.75 * (0.5 * goals[n] - judge) ** 2 + 0.25 * (goals[n + 1] - judge) ** 2
            assert reward == pytest.approx(-term if k <= n else 0.0)
            paid[other] += reward
    played = mesa_env.rollout(game, Profile(game, np.full(3, 0.5)), 0.8)
    details = {name: values[:, None] for name, values in played.details.items()}
    costs = game.mesa_costs(played.goals[:-1, None], played.outputs[:, None], details)[:, 0]
    np.testing.assert_allclose(list(paid.values()), -costs)


@pytest.mark.parametrize("weight", [-0.1, 1.1, np.nan, "much", None])
def test_a_weight_is_a_share(weight):
    with pytest.raises(ValueError, match=r"weight must be a finite number in \[0, 1\]; got"):
        Preservation(weight=weight)


def test_costs_without_the_updated_goal_are_refused():
    game = Preservation([1.0])
    with pytest.raises(ValueError, match=r"need the detail 'updated_goal'; got \[\]"):
        game.mesa_cost(np.zeros(1), np.ones((1, 1)), 0)
    with pytest.raises(ValueError, match=r"need the detail 'updated_goal'; got \['slope'\]"):
        game.mesa_costs(np.ones((1, 1)), np.ones((1, 1)), {"slope": np.ones((1, 1))})
