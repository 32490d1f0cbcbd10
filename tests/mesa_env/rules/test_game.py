"""The rules of the base game."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, Outcome, State, train_then_deploy
from mesa_env.rules.scalar import validate_coefficients

EPSILON = np.finfo(np.float64).eps
UNBOUNDED = 1e9  # a goal bound that no short game reaches


def numbers(low, high):
    """Floats that no product of a few of which vanishes by underflow, or 0."""
    return st.floats(low, high, allow_subnormal=False).map(lambda x: x if abs(x) > 1e-30 else 0.0)


def coefficient_lists(size):
    return st.lists(numbers(-2, 2), min_size=size, max_size=size)


@st.composite
def games(draw, **fixed):
    parameters = {
        "learning_rates": draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5]), min_size=1, max_size=8)),
        "discount": draw(st.sampled_from([0.0, 0.3, 0.9, 1.0])),
        "regularization": draw(st.sampled_from([0.0, 0.05, 1.0])),
        "goal_bound": draw(st.sampled_from([1.0, 10.0, UNBOUNDED])),
    }
    return Game(**parameters | fixed)


def play_out(game, goal, coefficients):
    """Play `coefficients`, shape (N, *batch), from `goal`, shape batch: states (N + 1) and outcomes (N)."""
    goal = np.asarray(goal, dtype=np.float64)
    states, outcomes = [game.start(np.zeros((*goal.shape, game.n_uniforms)), goal)], []
    for c in np.asarray(coefficients, dtype=np.float64):
        state, outcome = game.play(states[-1], np.asarray(c)[..., None])
        states.append(state)
        outcomes.append(outcome)
    return states, outcomes


def stacked(records, field):
    return np.array([getattr(record, field) for record in records])


# -- Playing ------------------------------------------------------------------------------------------


@given(numbers(-1, 1), numbers(-2, 2), numbers(0, 2), numbers(0, 1))
def test_base_update_descends_the_base_loss(goal, c, rate, regularization):
    """θ' = θ − η dL/dθ with L(θ) = (cθ)² + λθ²: a central difference is exact, since L is quadratic."""
    game = Game([rate], regularization=regularization, goal_bound=UNBOUNDED)

    def base_loss(theta):
        return (c * theta) ** 2 + regularization * theta**2

    state, outcome = game.play(game.start(np.zeros(0), goal), np.array([c]))
    slope = (base_loss(goal + 1) - base_loss(goal - 1)) / 2
    assert state.goal == outcome.next_goal == pytest.approx(goal - rate * slope, abs=1e-12)
    assert outcome.base_loss == pytest.approx(base_loss(goal), abs=1e-15)
    assert outcome.output == c * goal
    assert (outcome.goal, outcome.training, state.episode) == (goal, rate > 0, 1)


@given(numbers(-1, 1), numbers(-2, 2), numbers(0, 2), numbers(0.01, 3))
def test_goal_bound_projects_and_changes_nothing_else(goal, c, rate, bound):
    goal = np.clip(goal, -bound, bound)
    results = {}
    for goal_bound in (bound, UNBOUNDED):
        game = Game([rate], goal_bound=goal_bound, initial_goal=0)
        results[goal_bound] = game.play(game.start(np.zeros(0), goal), np.array([c]))[1]
    bounded, free = results[bound], results[UNBOUNDED]
    assert bounded.next_goal == np.clip(free.next_goal, -bound, bound)
    assert bounded[:3] == free[:3]


@given(st.data(), games(goal_bound=UNBOUNDED), numbers(-1, 1), st.integers(-6, 6), st.sampled_from([-1, 1]))
def test_game_is_homogeneous_in_the_goal(data, game, goal, exponent, sign):
    """A game that begins at sθ is the game that begins at θ, s times as large; a power of 2 is exact."""
    coefficients = data.draw(coefficient_lists(game.episodes))
    scale = sign * 2.0**exponent
    states, outcomes = play_out(game, goal, coefficients)
    scaled_states, scaled_outcomes = play_out(game, scale * goal, coefficients)
    np.testing.assert_array_equal(stacked(scaled_states, "goal"), scale * stacked(states, "goal"))
    np.testing.assert_array_equal(stacked(scaled_outcomes, "output"), scale * stacked(outcomes, "output"))
    np.testing.assert_array_equal(
        stacked(scaled_outcomes, "base_loss"), scale**2 * stacked(outcomes, "base_loss")
    )


@given(st.data(), games(), st.lists(numbers(-1, 1), min_size=2, max_size=5))
def test_a_batch_plays_the_same_games_bit_for_bit(data, game, goals):
    size = len(goals)
    plans = np.array([data.draw(coefficient_lists(game.episodes)) for _ in goals]).T
    states, outcomes = play_out(game, goals, plans)
    for row, goal in enumerate(goals):
        for shape in ((), (1,)):
            alone, produced = play_out(
                game, np.full(shape, goal), plans[:, row].reshape(game.episodes, *shape)
            )
            for batch_records, records in ((states, alone), (outcomes, produced)):
                for whole, part in zip(batch_records, records, strict=True):
                    for wide, narrow in zip(whole[:-1], part[:-1], strict=True):
                        assert wide.shape == (size,)
                        assert narrow.shape == shape
                        np.testing.assert_array_equal(wide[row], np.squeeze(narrow))
            for whole, part in zip(states, alone, strict=True):
                np.testing.assert_array_equal(game.observe(whole)[row], game.observe(part).reshape(4))
                assert bool(game.over(whole)[0][row]) == bool(np.all(game.over(part)[0]))


@given(st.data(), games())
def test_play_is_the_game_by_hand(by_hand, data, game):
    coefficients = data.draw(coefficient_lists(game.episodes))
    expected = by_hand(game, coefficients, 0.8)
    states, outcomes = play_out(game, 0.8, coefficients)
    off = rounding_of_goals(game, coefficients, expected.goals)
    goals, c = np.abs(expected.goals[:-1]) + off[:-1], np.abs(coefficients)
    weight = 2 * (c**2 + game.regularization) * goals  # the slope of the base loss in θ
    for found, exact, error in (
        (stacked(states, "goal"), expected.goals, off),
        (stacked(outcomes, "output"), expected.outputs, c * off[:-1]),
        (stacked(outcomes, "base_loss"), expected.base_losses, weight * off[:-1]),
    ):
        assert (np.abs(found - exact) <= error + 1e-9 * np.abs(exact)).all()
    assert [bool(game.over(state)[0]) for state in states] == [False] * game.episodes + [True]
    assert not any(game.over(state)[1] for state in states)


def rounding_of_goals(game, coefficients, goals):
    """A bound on what rounding does to θ_0…θ_N: each update's own, and that of those before it."""
    bounds = [0.0]
    for rate, c, goal in zip(game.learning_rates, coefficients, goals, strict=False):
        pull = 2 * rate * (c * c + game.regularization)
        bounds.append(abs(1 - pull) * bounds[-1] + 16 * EPSILON * (1 + pull) * abs(goal))
    return np.array(bounds)


def test_play_leaves_its_arguments_alone():
    game = Game(train_then_deploy(1, 1))
    state, action = game.start(np.zeros((3, 0))), np.full((3, 1), 0.5)
    kept = copy.deepcopy((state, action))
    game.play(state, action)
    for before, after in zip((*kept[0], kept[1]), (*state, action), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("game", "goal_at", "expected"),
    [
        (Game(), 20, 0.7232141),
        (Game(), 99, 0.7232141),
        (Game(np.ones(100)), 99, 0.0818778),
    ],
)
def test_equilibrium_paths_end_where_the_design_says(game, goal_at, expected):
    states, _ = play_out(game, 0.8, mesa_env.solve_equilibrium(game))
    assert states[goal_at].goal == pytest.approx(expected, abs=5e-8)


@pytest.mark.parametrize("schedule", [train_then_deploy(), np.ones(100)])
@pytest.mark.parametrize("initial_goal", [-1.0, 0.8, 1.0])
def test_goal_bound_binds_on_no_single_deviation_from_equilibrium(schedule, initial_goal):
    game = Game(schedule)
    free = Game(schedule, goal_bound=UNBOUNDED)
    deviations = np.linspace(-2, 2, 21)
    plans = np.tile(mesa_env.solve_equilibrium(game)[:, None, None], (1, game.episodes, len(deviations)))
    plans[np.arange(game.episodes), np.arange(game.episodes)] = deviations
    plans = plans.reshape(game.episodes, -1)
    goals = np.full(plans.shape[1], initial_goal)
    bounded, unbounded = (stacked(play_out(rules, goals, plans)[0], "goal") for rules in (game, free))
    np.testing.assert_array_equal(bounded, unbounded)


def test_one_wild_step_multiplies_the_goal_by_minus_seven():
    states, _ = play_out(Game([1.0]), 0.8, [2.0])
    assert states[1].goal == pytest.approx(-7 * 0.8)


# -- Starting -----------------------------------------------------------------------------------------


def test_start_maps_uniform_draws_onto_the_pair():
    game = Game(initial_goal=(-0.5, 1.5))
    state = game.start(np.array([[0.0], [0.25], [1 - 2**-53]]))
    np.testing.assert_allclose(state.goal, [-0.5, 0.0, 1.5])
    np.testing.assert_array_equal(state.episode, [0, 0, 0])
    assert game.n_uniforms == 1


def test_start_of_a_fixed_goal_needs_no_chance():
    game = Game(initial_goal=-0.3)
    assert game.n_uniforms == 0
    np.testing.assert_array_equal(game.start(np.zeros((4, 0))).goal, [-0.3] * 4)


@pytest.mark.parametrize("initial_goal", [0.8, (-1, 1)])
def test_start_prefers_the_goals_that_are_asked_for_and_does_not_keep_hold_of_them(initial_goal):
    game, asked = Game(initial_goal=initial_goal), np.array([0.1, 0.2])
    state = game.start(np.zeros((2, game.n_uniforms)), asked)
    asked[:] = 9
    np.testing.assert_array_equal(state.goal, [0.1, 0.2])


@pytest.mark.parametrize(("train", "deploy", "rate"), [(20, 80, 1.0), (0, 3, 1.0), (3, 0, 0.5), (1, 1, 0.0)])
def test_train_then_deploy(train, deploy, rate):
    schedule = train_then_deploy(train, deploy, rate)
    assert schedule.dtype == np.float64
    np.testing.assert_array_equal(schedule, [rate] * train + [0.0] * deploy)


def test_defaults_are_the_posts_first_experiment():
    game = Game()
    np.testing.assert_array_equal(game.learning_rates, [1.0] * 20 + [0.0] * 80)
    np.testing.assert_array_equal(game.training, [True] * 20 + [False] * 80)
    assert (game.discount, game.regularization, game.initial_goal) == (1.0, 0.0, 0.8)
    assert (game.coefficient_bound, game.goal_bound, game.episodes) == (2.0, 10.0, 100)


@pytest.mark.parametrize(
    ("arguments", "offending"),
    [
        ({"train": -1}, "-1"),
        ({"deploy": -3}, "-3"),
        ({"train": 2.5}, "2.5"),
        ({"train": True}, "True"),
        ({"deploy": "4"}, "'4'"),
        ({"train": 0, "deploy": 0}, "train=0 and deploy=0"),
    ],
)
def test_train_then_deploy_refuses_bad_lengths(arguments, offending):
    with pytest.raises(
        ValueError, match=r"must be a whole number in 0…\d+; got|needs at least one episode"
    ) as refusal:
        train_then_deploy(**arguments)
    assert offending in str(refusal.value)


# -- Observing ----------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([0.0, 0.25, 2.0]), min_size=1, max_size=12))
def test_observation_is_goal_rate_and_shares_left(rates):
    game = Game(rates)
    training = sum(rate > 0 for rate in rates)
    for n in range(len(rates) + 1):
        left = Fraction(len(rates) - n, len(rates))
        training_left = Fraction(sum(rate > 0 for rate in rates[n:]), max(1, training))
        expected = [-0.3, rates[n] if n < len(rates) else 0.0, float(left), float(training_left)]
        seen = game.observe(State(np.array([n]), np.array([-0.3])))
        assert seen.dtype == np.float32
        np.testing.assert_array_equal(seen, [np.array(expected, dtype=np.float32)])


@given(st.data(), games())
def test_every_observation_lies_within_the_bounds(data, game):
    states, _ = play_out(game, 0.8, data.draw(coefficient_lists(game.episodes)))
    low, high = (bound.astype(np.float32) for bound in game.observation_bounds)
    for state in states:
        seen = game.observe(state)
        assert ((low <= seen) & (seen <= high)).all()


# -- Judging ------------------------------------------------------------------------------------------


@given(st.data(), games())
def test_mesa_costs_are_the_double_sum(by_hand, data, game):
    """J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)², for one game and for a batch of different ones."""
    plans = np.array([data.draw(coefficient_lists(game.episodes)) for _ in range(3)]).T
    first = np.array([0.8, -0.2, 0.0])
    states, outcomes = play_out(game, first, plans)
    goals, outputs = stacked(states, "goal")[:-1], stacked(outcomes, "output")
    costs = game.mesa_costs(goals, outputs)
    assert costs.shape == outputs.shape
    rounding = 1e-13 * game.episodes * (1 + np.abs(goals).max() + np.abs(outputs).max()) ** 2
    for row in range(3):
        expected = by_hand(game, plans[:, row], float(first[row])).mesa_costs
        np.testing.assert_allclose(costs[:, row], expected, rtol=1e-9, atol=rounding)
    assert (costs >= 0).all()


@given(games(), st.integers(0, 2**32 - 1))
def test_mesa_costs_of_a_batch_are_those_of_its_games_bit_for_bit(game, seed):
    goals, outputs = np.random.default_rng(seed).normal(size=(2, game.episodes, 20))
    costs = game.mesa_costs(goals, outputs)
    for row in range(20):
        np.testing.assert_array_equal(game.mesa_costs(goals[:, row], outputs[:, row]), costs[:, row])
        np.testing.assert_array_equal(
            game.mesa_costs(goals[:, row, None], outputs[:, row, None])[:, 0], costs[:, row]
        )


@given(st.data(), games())
def test_mesa_costs_sum_the_terms_that_each_episode_pays(data, game):
    goals, outputs = np.array(data.draw(coefficient_lists(2 * game.episodes))).reshape(2, -1)
    summed = [
        sum(float(game.mesa_cost(outputs[k], goals[n, None], k - n)) for k in range(n, game.episodes))
        for n in range(game.episodes)
    ]
    np.testing.assert_allclose(
        game.mesa_costs(goals[:, None], outputs[:, None])[:, 0], summed, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("discount", [0.0, 0.3, 0.99, 1.0])
def test_discount_weighs_later_outputs(discount):
    game = Game(np.zeros(50), discount=discount)
    elapsed = np.arange(50)
    terms = game.mesa_cost(np.full(50, 3.0), np.full((50, 1), 1.0), elapsed)
    np.testing.assert_allclose(terms, [4 * discount**k for k in range(50)], rtol=1e-13)
    assert [float(game.mesa_cost(np.float64(3), np.ones(1), int(k))) for k in elapsed] == terms.tolist()


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("c", [-1.0, 0.0, 0.7, 1.0])
def test_mesa_cost_of_a_constant_policy_in_deployment_is_a_geometric_sum(discount, c):
    """J_n = θ² (c − 1)² (1 − γ^(N−n)) / (1 − γ)."""
    game = Game(train_then_deploy(0, 200), discount=discount)
    costs = game.mesa_costs(np.full((200, 1), 0.8), np.full((200, 1), 0.8 * c))[:, 0]
    left = np.arange(200, 0, -1)
    expected = 0.64 * (c - 1) ** 2 * (1 - discount**left) / (1 - discount)
    np.testing.assert_allclose(costs, expected, rtol=1e-9, atol=1e-12)


# -- Long and short games -----------------------------------------------------------------------------


def test_a_single_episode_pays_once():
    game = Game([1.0])
    states, (outcome,) = play_out(game, 0.8, [0.25])
    assert game.over(states[1])[0]
    assert game.mesa_costs(np.array([[0.8]]), outcome.output[None, None])[0, 0] == pytest.approx(0.36)
    assert states[1].goal == pytest.approx(0.8 * (1 - 2 * 0.25**2))
    np.testing.assert_array_equal(game.observe(states[0])[2:], [1, 1])
    np.testing.assert_array_equal(game.observe(states[1])[1:], [0, 0, 0])


def test_ten_thousand_episodes_follow_the_closed_form():
    """With a constant coefficient θ_n = θ_0 mⁿ, m = 1 − 2η(c² + λ); and no two observations are the same."""
    game = Game(train_then_deploy(5_000, 5_000, 0.01), regularization=0.001)
    states, _ = play_out(game, 0.8, np.full(10_000, 0.1))
    contraction = 1 - 2 * 0.01 * (0.1**2 + 0.001)
    expected = 0.8 * contraction ** np.minimum(np.arange(10_001), 5_000)
    np.testing.assert_allclose(stacked(states, "goal"), expected, rtol=1e-11)
    shares = np.array([game.observe(state)[2] for state in states], dtype=np.float64)
    np.testing.assert_array_equal(np.rint((1 - shares) * 10_000), np.arange(10_001))


# -- The door -----------------------------------------------------------------------------------------

REFUSED = [
    ({"learning_rates": [1, -0.5]}, "-0.5", "≥ 0"),
    ({"learning_rates": [1, np.nan]}, "nan", "finite"),
    ({"learning_rates": [np.inf]}, "inf", "finite"),
    ({"learning_rates": []}, "(0,)", "non-empty"),
    ({"learning_rates": [[1, 0], [0, 1]]}, "(2, 2)", "one-dimensional"),
    ({"learning_rates": [[1], [0, 1]]}, "[[1], [0, 1]]", "one-dimensional"),
    ({"learning_rates": 1.0}, "()", "one-dimensional"),
    ({"learning_rates": "fast"}, "fast", "numbers"),
    ({"learning_rates": ["1", "0"]}, "'1'", "numbers"),
    ({"learning_rates": [True, False]}, "True", "numbers"),
    ({"learning_rates": [1e308]}, "1e+308", "finite"),
    ({"learning_rates": [10**400]}, "", "finite"),
    ({"regularization": 1e308, "goal_bound": 1e9}, "1e+308", "finite"),
    ({"discount": -0.1}, "-0.1", "[0, 1]"),
    ({"discount": 1.0001}, "1.0001", "[0, 1]"),
    ({"discount": np.nan}, "nan", "[0, 1]"),
    ({"discount": np.inf}, "inf", "[0, 1]"),
    ({"discount": "0.9"}, "'0.9'", "[0, 1]"),
    ({"discount": True}, "True", "[0, 1]"),
    ({"discount": None}, "None", "[0, 1]"),
    ({"regularization": -1e-9}, "-1e-09", "at least 0"),
    ({"regularization": np.nan}, "nan", "at least 0"),
    ({"regularization": np.inf}, "inf", "at least 0"),
    ({"regularization": "0"}, "'0'", "at least 0"),
    ({"coefficient_bound": 0}, "0", "greater than 0"),
    ({"coefficient_bound": -2.0}, "-2.0", "greater than 0"),
    ({"coefficient_bound": np.nan}, "nan", "greater than 0"),
    ({"coefficient_bound": np.inf}, "inf", "greater than 0"),
    ({"coefficient_bound": True}, "True", "greater than 0"),
    ({"coefficient_bound": 10**400}, "", "greater than 0"),
    ({"goal_bound": 0.0}, "0.0", "greater than 0"),
    ({"goal_bound": -1}, "-1", "greater than 0"),
    ({"goal_bound": np.inf}, "inf", "greater than 0"),
    ({"goal_bound": "10"}, "'10'", "greater than 0"),
    ({"initial_goal": 10.5}, "10.5", "[-10, 10]"),
    ({"initial_goal": np.nan}, "nan", "[-10, 10]"),
    ({"initial_goal": -np.inf}, "-inf", "[-10, 10]"),
    ({"initial_goal": "0.8"}, "'0.8'", "number"),
    ({"initial_goal": True}, "True", "number"),
    ({"initial_goal": None}, "None", "number"),
    ({"initial_goal": (0.1, 0.2, 0.3)}, "(0.1, 0.2, 0.3)", "(low, high) pair"),
    ({"initial_goal": (0.1,)}, "(0.1,)", "(low, high) pair"),
    ({"initial_goal": ()}, "()", "(low, high) pair"),
    ({"initial_goal": (0.5, -0.5)}, "(0.5, -0.5)", "ascending"),
    ({"initial_goal": (-11, 0)}, "-11", "[-10, 10]"),
    ({"initial_goal": (0, np.nan)}, "nan", "[-10, 10]"),
    ({"initial_goal": ("0", "1")}, "'0'", "number"),
    ({"initial_goal": (False, True)}, "False", "number"),
    ({"initial_goal": 0.8, "goal_bound": 0.5}, "0.8", "[-0.5, 0.5]"),
]


@pytest.mark.parametrize(("parameters", "offending", "allowed"), REFUSED, ids=lambda value: str(value)[:50])
def test_bad_parameters_raise_with_what_is_allowed(parameters, offending, allowed):
    with pytest.raises(ValueError, match="must") as refusal:
        Game(**parameters)
    message = str(refusal.value)
    assert offending in message
    assert allowed in message
    assert next(iter(parameters)).removesuffix("s") in message.replace(" ", "_")


@pytest.mark.parametrize(
    "parameters",
    [
        {"discount": 0},
        {"discount": np.float32(1)},
        {"regularization": 0},
        {"initial_goal": (0.5, 0.5)},
        {"initial_goal": np.array([-1.0, 1.0])},
        {"initial_goal": [-10, 10]},
        {"initial_goal": np.array(0.5)},
        {"initial_goal": 0},
        {"learning_rates": range(3)},
        {"learning_rates": (0,)},
        {"learning_rates": np.ones(3, dtype=np.float32)},
    ],
    ids=str,
)
def test_every_reasonable_way_to_write_a_parameter_is_taken(parameters):
    game = Game(**parameters)
    ((name, given_value),) = parameters.items()
    np.testing.assert_array_equal(getattr(game, name), np.asarray(given_value, dtype=np.float64))
    assert game.learning_rates.dtype == np.float64
    assert {game: "found"}[Game(**parameters)] == "found"


BAD_ACTIONS = [
    (np.zeros(()), "()"),
    (np.zeros(2), "(2,)"),
    (np.zeros((1, 1)), "(1, 1)"),
    (0.5, "()"),
    (None, "None"),
    (np.array([np.nan]), "nan"),
    (np.array([np.inf]), "inf"),
    (np.array([2.01]), "2.01"),
    (np.array([-3]), "-3"),
    (np.array([True]), "True"),
    (np.array([1j]), "j"),
    (["1"], "1"),
    ([None], "None"),
]


@pytest.mark.parametrize(("action", "offending"), BAD_ACTIONS, ids=lambda value: repr(value)[:30])
def test_bad_actions_raise_with_what_is_allowed(action, offending):
    with pytest.raises(ValueError, match=r"shape \(1,\)|in \[-2, 2\]") as refusal:
        Game().validate_actions(action, ())
    assert offending in str(refusal.value)


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bound_itself_may_be_played_in_either_precision(bound, dtype):
    """0.1 is a little more than 0.1 in single precision, where a policy that clips to its space lands."""
    game = Game(coefficient_bound=bound)
    for action in (np.array([bound], dtype=dtype), np.array([-bound], dtype=dtype)):
        np.testing.assert_array_equal(game.validate_actions(action, ()), action)
    for action in (np.array([1.001 * bound], dtype=dtype), np.array([-1.001 * bound], dtype=dtype)):
        with pytest.raises(ValueError, match="must be finite numbers in"):
            game.validate_actions(action, ())
    np.testing.assert_array_equal(validate_coefficients(game, np.full(100, bound, dtype)), dtype(bound))


def test_one_bad_row_spoils_the_batch():
    actions = np.zeros((3, 1))
    Game().validate_actions(actions, (3,))
    actions[1] = 5
    with pytest.raises(ValueError, match="5"):
        Game().validate_actions(actions, (3,))
    with pytest.raises(ValueError, match=r"shape \(4, 1\); got shape \(3, 1\)"):
        Game().validate_actions(np.zeros((3, 1)), (4,))


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (np.zeros(6), r"\(7,\); got shape \(6,\)"),
        (np.zeros((7, 1)), r"\(7,\); got shape \(7, 1\)"),
        (0.5, r"\(7,\); got shape \(\)"),
        ([0, 0, 0, np.nan, 0, 0, 0], "±2; got nan for episode 3"),
        ([0, 2.5, 0, 0, 0, 0, 0], "±2; got 2.5 for episode 1"),
        ("myopic", "7 numbers; got 'myopic'"),
    ],
)
def test_bad_profiles_raise_with_what_is_allowed(profile, message):
    with pytest.raises(ValueError, match=message):
        validate_coefficients(Game(train_then_deploy(3, 4)), profile)


def test_a_profile_is_copied():
    profile = np.zeros(100)
    validated = validate_coefficients(Game(), profile)
    profile[0] = 1
    assert validated[0] == 0


# -- Identity -----------------------------------------------------------------------------------------

OTHER_PARAMETERS = {
    "learning_rates": np.ones(100),
    "discount": 0.5,
    "regularization": 0.1,
    "coefficient_bound": 1.0,
    "goal_bound": 5.0,
    "initial_goal": (-1, 1),
}


def test_games_are_equal_when_all_parameters_are():
    same = [
        Game([1, 0]),
        Game((1.0, 0.0)),
        Game(np.array([1, 0])),
        Game(np.array([1, 0]), 1, 0, 2, 10, np.float64(0.8)),
        Game([1, -0.0], initial_goal=0.8),
    ]
    assert len(set(same)) == 1
    assert all(game == same[0] for game in same)
    assert Game(initial_goal=[-1, 1]) == Game(initial_goal=np.array([-1.0, 1.0]))


@pytest.mark.parametrize("name", list(OTHER_PARAMETERS))
def test_games_differ_when_one_parameter_does(name):
    game, other = Game(), dataclasses.replace(Game(), **{name: OTHER_PARAMETERS[name]})
    assert game != other
    assert len({game, other}) == 2


def test_a_game_equals_nothing_but_a_game():
    assert Game() != "Game()"
    assert Game() != None  # noqa: E711 - equality is what is tested


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda game: pickle.loads(pickle.dumps(game))])
def test_copies_are_equal_play_the_same_and_are_as_immutable(copied):
    game = Game([1, 0.5, 0], discount=0.9, regularization=0.1, initial_goal=(-1, 1))
    plan = [0.3, -0.4, 1.2]
    played = play_out(game, 0.8, plan)  # fills the game's tables, which travel with it
    twin = copied(game)
    assert twin == game
    assert hash(twin) == hash(game)
    for ours, theirs in zip(played[1], play_out(twin, 0.8, plan)[1], strict=True):
        assert ours == theirs
    with pytest.raises(ValueError, match="read-only"):
        twin.learning_rates[0] = 5
    assert twin == game


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Game)])
def test_parameters_cannot_be_set(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Game(), name, 1)


@pytest.mark.parametrize("name", ["learning_rates", "training"])
def test_what_a_game_hands_out_cannot_change_it(name):
    game = Game()
    with pytest.raises(ValueError, match="read-only"):
        getattr(game, name)[0] = 0


def test_a_game_shares_no_memory_with_its_caller():
    schedule = train_then_deploy(1, 1)
    game = Game(schedule)
    schedule[:] = 9
    np.testing.assert_array_equal(game.learning_rates, [1, 0])
    game.action_bound[:] = 0
    np.testing.assert_array_equal(game.action_bound, [2])


def test_an_outcome_names_what_the_design_names():
    assert Outcome._fields == ("output", "base_loss", "goal", "next_goal", "training", "details")
