"""The rules of the game whose discount is trained."""

from __future__ import annotations

import copy
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.problems import start_at_random_turn
from mesa_env.rules.learnable_discount import CELLS, LearnableDiscount, interpolation, nodes

with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test

SHORT = LearnableDiscount(train_then_deploy(3, 4, 0.3), discount=0.6, discount_learning_rate=2.0)
DRAWN = LearnableDiscount(
    [1, 0.5, 0, 0.25, 0],
    discount=(0.2, 0.9),
    regularization=0.1,
    initial_goal=(-1, 1),
    discount_learning_rate=0.3,
)
SCHEDULES = {
    "post": {"learning_rates": train_then_deploy()},
    "gentle": {"learning_rates": train_then_deploy(20, 80, 0.1)},
    "two": {"learning_rates": np.ones(30)},
    "gaps": {"learning_rates": [1, 0, 0.3, 0, 0.7, 0], "regularization": 0.2},
    "bounded": {"learning_rates": train_then_deploy(6, 4, 0.2), "coefficient_bound": 0.5},
}


def play_out(game, goal, discount, coefficients):
    """Play `coefficients`, shape (N, *batch), from (θ_0, γ_0), shape batch: states (N + 1), outcomes (N)."""
    goal, discount = np.asarray(goal, dtype=np.float64), np.asarray(discount, dtype=np.float64)
    state = game.start(np.zeros((*goal.shape, game.n_uniforms)), goal)
    states, outcomes = [state._replace(extra=state.extra._replace(discount=discount[()]))], []
    for c in np.asarray(coefficients, dtype=np.float64):
        state, outcome = game.play(states[-1], np.asarray(c)[..., None])
        states.append(state)
        outcomes.append(outcome)
    return states, outcomes


def stacked(outcomes, name):
    return np.array([outcome.info()[name] for outcome in outcomes])


def plans(game, *batch, seed=0):
    bound = game.coefficient_bound
    return np.random.default_rng(seed).uniform(-bound, bound, (game.episodes, *batch))


# -- The planner and its slope ----------------------------------------------------------------------------


@pytest.fixture(params=list(SCHEDULES))
def planning(request):
    return LearnableDiscount(**SCHEDULES[request.param])


def equilibria(game, discount):
    rates = np.tile(game.learning_rates, (len(discount), 1))
    return mesa_env.solve_equilibria(rates, discount, game.regularization, game.coefficient_bound).T


ANY_DISCOUNT = np.concatenate([np.linspace(0.003, 0.997, 101), 1 - np.logspace(-5, -3, 5)])


def test_the_planner_plays_the_base_games_equilibrium(planning):
    discount = np.concatenate([[0.0, 1.0], ANY_DISCOUNT])
    np.testing.assert_allclose(planning.plan(discount)[0], equilibria(planning, discount), rtol=0, atol=1e-14)


@pytest.mark.parametrize("asked", [0, 1, 2, None])
def test_the_first_episodes_can_be_asked_for_alone(planning, asked):
    whole, some = planning.plan(ANY_DISCOUNT), planning.plan(ANY_DISCOUNT, asked)
    for all_, first in zip(whole, some, strict=True):
        assert len(first) == (planning.episodes if asked is None else asked)
        np.testing.assert_array_equal(first, all_[:asked])


def test_its_slope_is_the_derivative_of_the_equilibrium(planning):
    h = 2e-6  # errors of differences: h² times the third derivative, and rounding over h
    differences = (equilibria(planning, ANY_DISCOUNT + h) - equilibria(planning, ANY_DISCOUNT - h)) / (2 * h)
    slopes = planning.plan(ANY_DISCOUNT)[1]
    np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=2e-8)
    assert (np.abs(slopes[0]) > 0.01).any()


def test_the_slope_at_the_ends_is_one_sided():
    game = LearnableDiscount([0.5, 0.0])
    # c_1 = 1 and A = B = 1, so α = 2γ, β = 1 and c_0 = 1 − 2γ + … near γ = 0.
    np.testing.assert_allclose(game.plan(np.array([0.0]))[1][:, 0], [-2.0, 0.0])
    h = 1e-7
    before, end = equilibria(game, np.array([1 - h, 1.0])).T
    np.testing.assert_allclose(game.plan(np.array([1.0]))[1][:, 0], (end - before) / h, rtol=1e-6)


@pytest.mark.parametrize("name", ["post", "gentle", "two", "gaps"])
def test_the_table_is_within_1e_8_of_the_exact_slope(name):
    game = LearnableDiscount(**SCHEDULES[name])
    # Halfway between nodes, where cubic interpolation is at its worst.
    t = (np.arange(CELLS) + 0.5) / CELLS
    discount = t**2 / (t**2 + (1 - t) ** 2)
    exact = game.plan(discount)[1]
    looked_up = game.slope(np.arange(game.episodes)[:, None], discount[None])
    trained = game.training
    assert np.abs(looked_up - exact)[trained].max() < 1e-8
    np.testing.assert_array_equal(exact[~trained], 0)


def test_no_slope_where_the_bound_clips_the_coefficient():
    game = LearnableDiscount(**SCHEDULES["bounded"])
    coefficients, slopes = game.plan(nodes())
    clipped = coefficients == 0.5
    np.testing.assert_array_equal(slopes[clipped], 0)
    assert clipped[:6].any()
    assert (slopes[:6][~clipped[:6]] < 0).all()


@given(st.floats(0, 1))
def test_interpolation_is_exact_for_cubics(discount):
    first, weights = interpolation(discount)
    t = np.sqrt(discount) / (np.sqrt(discount) + np.sqrt(1 - discount))
    near = (first + np.arange(4)) / CELLS
    assert 0 <= first <= CELLS - 3
    assert near[0] - 1e-12 <= t <= near[3] + 1e-12
    assert np.dot(weights, near**3) == pytest.approx(t**3, abs=1e-14)
    assert np.sum(weights) == pytest.approx(1)


# -- Playing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("regularization", [0.0, 0.05])
@pytest.mark.parametrize("discount", [0.0, 0.7, 1.0])
def test_without_a_rate_it_is_the_base_game_bit_for_bit(discount, regularization):
    parameters = {
        "learning_rates": train_then_deploy(5, 6, 0.4),
        "discount": discount,
        "regularization": regularization,
        "initial_goal": (-1, 1),
    }
    base, game = Game(**parameters), LearnableDiscount(**parameters, discount_learning_rate=0.0)
    chance = np.random.default_rng(1).random((7, 1))
    state, other = base.start(chance), game.start(chance)
    judges, played, others = [], [], []
    for n, action in enumerate(plans(base, 7)[..., None]):
        np.testing.assert_array_equal(base.observe(state), game.observe(other)[:, :4])
        np.testing.assert_array_equal(game.observe(other)[:, 4], np.float32(discount))
        judges.append((base.preferences(state), game.preferences(other)))
        state, outcome = base.play(state, action)
        other, same = game.play(other, action)
        for a, b in zip(outcome[:5], same[:5], strict=True):
            np.testing.assert_array_equal(a, b)
        for k, (judge, other_judge) in enumerate(judges):
            np.testing.assert_array_equal(
                base.mesa_cost(outcome.output, judge, n - k), game.mesa_cost(same.output, other_judge, n - k)
            )
        played.append(outcome)
        others.append(same)
    np.testing.assert_array_equal(state.goal, other.goal)
    np.testing.assert_array_equal(other.extra.discount, discount)
    goals, outputs = stacked(played, "goal"), stacked(played, "output")
    details = {"discount": stacked(others, "discount")}
    np.testing.assert_array_equal(base.mesa_costs(goals, outputs), game.mesa_costs(goals, outputs, details))


@given(st.floats(-1, 1), st.floats(0.05, 0.95), st.floats(-2, 2), st.floats(0, 5), st.floats(0, 0.2))
def test_the_base_update_descends_the_base_loss_in_goal_and_discount(goal, discount, c, rate, regularization):
    """Both gradients by differences, through a planner that plays c in this state: c + s (γ − γ_n)."""
    game = LearnableDiscount(
        [0.4, 0.4, 0.0], regularization=regularization, discount_learning_rate=rate, goal_bound=1e3
    )
    h = 1e-5
    around = equilibria(game, np.array([discount - h, discount, discount + h]))[0]

    def base_loss(theta, planned):
        return ((c + planned - around[1]) * theta) ** 2 + regularization * theta**2

    d_goal = (base_loss(goal + h, around[1]) - base_loss(goal - h, around[1])) / (2 * h)
    d_discount = (base_loss(goal, around[2]) - base_loss(goal, around[0])) / (2 * h)
    states, _ = play_out(game, goal, discount, [c])
    assert states[1].goal == pytest.approx(goal - 0.4 * d_goal, abs=1e-8)
    assert states[1].extra.discount == pytest.approx(
        np.clip(discount - rate * 0.4 * d_discount, 0, 1), abs=1e-8
    )


def test_the_discount_stays_within_0_and_1_and_rests_in_deployment():
    game = LearnableDiscount([0.5, 0.5, 0.0, 0.0], discount_learning_rate=1e6)
    states, outcomes = play_out(game, [0.8, 0.8], [0.5, 0.5], np.tile([0.5, -0.5], (4, 1)))
    np.testing.assert_array_equal([state.extra.discount for state in states[1:]], [[1.0, 0.0]] * 4)
    np.testing.assert_array_equal(stacked(outcomes, "next_discount"), [[1.0, 0.0]] * 4)


@pytest.mark.parametrize("game", [SHORT, DRAWN, LearnableDiscount()], ids=["short", "drawn", "default"])
def test_a_batch_plays_the_same_games_bit_for_bit(game):
    rng = np.random.default_rng(3)
    goals, discounts, plan = rng.uniform(-1, 1, 9), rng.random(9), plans(game, 9)
    states, outcomes = play_out(game, goals, discounts, plan)
    costs = game.mesa_costs(
        stacked(outcomes, "goal"), stacked(outcomes, "output"), {"discount": stacked(outcomes, "discount")}
    )
    for row in range(9):
        for shape in ((), (1,)):
            alone, produced = play_out(
                game,
                np.full(shape, goals[row]),
                np.full(shape, discounts[row]),
                plan[:, row].reshape(-1, *shape),
            )
            for whole, part in zip(states, alone, strict=True):
                assert part.extra.discount.shape == shape
                np.testing.assert_array_equal(whole.extra.discount[row], np.squeeze(part.extra.discount))
                np.testing.assert_array_equal(whole.goal[row], np.squeeze(part.goal))
                np.testing.assert_array_equal(game.observe(whole)[row], game.observe(part).reshape(5))
                np.testing.assert_array_equal(game.preferences(whole)[row], game.preferences(part).reshape(2))
            told = {name: stacked(produced, name) for name in ("goal", "output", "discount")}
            np.testing.assert_array_equal(
                costs[:, row],
                np.squeeze(game.mesa_costs(told["goal"], told["output"], {"discount": told["discount"]})).T,
            )


def test_play_leaves_its_arguments_alone_and_returns_copies():
    state, action = SHORT.start(np.zeros((3, 0))), np.full((3, 1), 0.5)
    kept = copy.deepcopy((state, action))
    after, outcome = SHORT.play(state, action)
    for value in outcome.details.values():
        value[:] = -1
    np.testing.assert_array_equal(state.extra.discount, kept[0].extra.discount)
    np.testing.assert_array_equal(state.goal, kept[0].goal)
    np.testing.assert_array_equal(action, kept[1])
    assert (after.extra.discount > 0).all()


def test_start_draws_the_goal_and_then_the_discount():
    assert (SHORT.n_uniforms, DRAWN.n_uniforms) == (0, 2)
    state = DRAWN.start(np.array([[0.0, 0.0], [0.75, 0.5]]))
    np.testing.assert_allclose(state.goal, [-1, 0.5])
    np.testing.assert_allclose(state.extra.discount, [0.2, 0.55])
    only = LearnableDiscount([1.0, 0.0], discount=(0, 1))
    assert only.n_uniforms == 1
    np.testing.assert_array_equal(only.start(np.array([[0.25]])).extra.discount, [0.25])


def test_random_turns_are_as_after_silent_predecessors():
    seat = start_at_random_turn(DRAWN, np.array([0.5, 0.75, 0.5]))
    states, _ = play_out(
        LearnableDiscount(DRAWN.learning_rates, discount_learning_rate=0.3),
        0.5,
        seat.extra.discount,
        np.zeros(2),
    )
    assert (seat.episode, seat.goal) == (states[2].episode, states[2].goal)
    assert seat.extra.discount == states[2].extra.discount


def test_observations_keep_to_their_bounds():
    low, high = SHORT.observation_bounds
    assert low.shape == high.shape == (5,)
    for state in play_out(SHORT, np.full(50, 0.8), np.linspace(0, 1, 50), plans(SHORT, 50))[0]:
        seen = SHORT.observe(state)
        assert seen.dtype == np.float32
        assert ((low <= seen) & (seen <= high)).all()
        np.testing.assert_array_equal(seen[:, 4], state.extra.discount.astype(np.float32))
        assert (np.abs(SHORT.preferences(state)) <= SHORT.preference_bounds).all()


# -- Judging ----------------------------------------------------------------------------------------------


def test_every_agent_judges_by_its_own_goal_and_its_own_discount():
    plan = plans(SHORT, 4)
    states, outcomes = play_out(SHORT, [0.8, -0.5, 0.1, 0.0], [0.1, 0.6, 1.0, 0.3], plan)
    goals, outputs, discounts = (stacked(outcomes, name) for name in ("goal", "output", "discount"))
    assert (np.ptp(discounts, axis=0)[:3] > 1e-3).all()
    by_hand = [
        [
            sum(discounts[n, b] ** (k - n) * (outputs[k, b] - goals[n, b]) ** 2 for k in range(n, 7))
            for b in range(4)
        ]
        for n in range(7)
    ]
    np.testing.assert_allclose(SHORT.mesa_costs(goals, outputs, {"discount": discounts}), by_hand)
    terms = np.zeros((7, 4))
    for k, outcome in enumerate(outcomes):
        for n in range(k + 1):
            terms[n] += SHORT.mesa_cost(outcome.output, SHORT.preferences(states[n]), k - n)
    np.testing.assert_allclose(terms, by_hand)


def test_one_output_is_paid_by_many_judges():
    judges = np.array([[0.8, 0.5], [0.4, 0.0], [0.2, 0.0]])
    cost = SHORT.mesa_cost(np.float64(0.1), judges, np.array([2, 1, 0]))
    np.testing.assert_allclose(cost, [0.7**2 / 4, 0.0, 0.1**2])


def test_costs_without_discounts_raise():
    with pytest.raises(ValueError, match="needs the detail 'discount'"):
        SHORT.mesa_costs(np.ones((7, 1)), np.ones((7, 1)))


# -- Parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"discount": 1.5}, r"discount must be a finite number in \[0, 1\] or .*; got 1.5"),
        ({"discount": (0.2, 1.5)}, r"discount must be .* in \[0, 1\] or .*; got \(0.2, 1.5\)"),
        ({"discount": (0.9, 0.2)}, "ascending order"),
        ({"discount": (0.1, 0.2, 0.3)}, "in .* or a .low, high. pair of them"),
        ({"discount": "0.5"}, "discount must be a finite number"),
        ({"discount_learning_rate": -1}, "discount_learning_rate must be a finite number at least 0; got -1"),
        ({"discount_learning_rate": np.inf}, "discount_learning_rate must be a finite number at least 0"),
        ({"discount_learning_rate": 1e308}, "one base update by it, must stay finite"),
        ({"learning_rates": [1.0] * 50, "regularization": 1e4}, "slope dc/dγ, and one base update"),
        ({"initial_goal": 11.0}, "initial_goal"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        LearnableDiscount(**parameters)


def test_copies_and_pickles_are_equal_games():
    for game in (SHORT, DRAWN):
        for twin in (copy.deepcopy(game), pickle.loads(pickle.dumps(game))):
            assert twin == game
            assert hash(twin) == hash(game)
    assert LearnableDiscount(SHORT.learning_rates, discount=0.6, discount_learning_rate=1.0) != SHORT


# -- Interfaces -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["short", "drawn"])
def test_pettingzoo_is_content(game):
    api_test(mesa_env.raw_env(game=game), num_cycles=10)


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")
@pytest.mark.parametrize("judge", ["initial", "current"])
@pytest.mark.parametrize("game", [SHORT, DRAWN], ids=["short", "drawn"])
def test_gymnasium_is_content(game, judge):
    env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=game, judge=judge)
    check_env(env.unwrapped, skip_render_check=True)
