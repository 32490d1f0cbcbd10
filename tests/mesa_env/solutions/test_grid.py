"""The post's grid oracle against its own brute force, the exact oracle and the post's numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.solutions.grid import best_of_proposals, grid_plan, simulated_grid_search


@pytest.mark.parametrize(
    "game",
    [
        Game(learning_rates=[1.0]),
        Game(learning_rates=train_then_deploy(2, 3)),
        Game(learning_rates=np.ones(5)),
        Game(learning_rates=[0.3, 0.0, 2.0, 0.7]),
        Game(learning_rates=[1.0, 1.0, 0.0, 0.0], discount=0.7),
        Game(learning_rates=[1.0, 1.0, 0.0], discount=0.0),
        Game(learning_rates=[0.5, 1.0, 0.0, 0.0], regularization=0.2),
        Game(learning_rates=[1.0, 1.0, 0.0], discount=0.9, regularization=0.8),
        Game(learning_rates=[1.0, 1.0, 0.0], coefficient_bound=0.4),
    ],
)
def test_makes_the_choices_of_the_simulation_in_the_post(game):
    np.testing.assert_array_equal(mesa_env.grid_search(game), simulated_grid_search(game))


@pytest.mark.parametrize(
    ("game", "coefficients", "last_goal"),
    [
        (Game(), {0: 0.03, 19: 0.11, 20: 1.0}, 0.7237862),
        (Game(learning_rates=np.ones(100)), {0: 0.05, 99: 1.0}, 0.0823412),
    ],
    ids=["experiment one", "experiment two"],
)
def test_reference_numbers(game, coefficients, last_goal):
    plan = mesa_env.grid_search(game)
    for n, coefficient in coefficients.items():
        assert plan[n] == pytest.approx(coefficient, abs=1e-12)
    goals = 0.8 * np.cumprod(np.append(1, 1 - 2 * game.learning_rates * plan**2))
    assert round(goals[99], 7) == last_goal
    played = mesa_env.rollout(game, Profile(game, plan), 0.8)
    np.testing.assert_allclose(played.goals, goals, rtol=1e-5)


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0.01, 5)), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(0, 0.5),
)
def test_every_choice_is_a_grid_neighbor_of_the_best_response_to_its_successors(rates, discount, weight):
    # Right of 0 the unit cost falls to the cubic's root and rises after it, so the grid's best is next to it.
    game = Game(learning_rates=rates, discount=discount, regularization=weight)
    plan = grid_plan(game)  # which says nothing where goals are projected
    assert np.abs(plan - mesa_env.best_responses(game, plan)).max() < 0.01 + 1e-9


@pytest.mark.parametrize(
    "game",
    [Game(), Game(learning_rates=np.ones(100)), Game(discount=0.95), Game(regularization=0.01)],
    ids=["experiment one", "experiment two", "γ = 0.95", "λ = 0.01"],
)
def test_is_within_one_step_of_the_exact_equilibrium(game):
    assert np.abs(mesa_env.grid_search(game) - mesa_env.solve_equilibrium(game)).max() < 0.01
    assert mesa_env.nash_conv(game, mesa_env.grid_search(game)) > mesa_env.nash_conv(
        game, mesa_env.solve_equilibrium(game)
    )


@pytest.mark.parametrize(
    "game",
    [
        Game([50.0] * 60, regularization=1e3),
        Game([1e38, 1.0, 1.0, 0.0] * 3, discount=0.5, coefficient_bound=1e3),
        Game([3.0] * 300 + [1e-9, 0.0] * 3, regularization=0.7),
    ],
    ids=["regularized", "fast", "long"],
)
def test_choices_are_right_where_goals_grow_beyond_floating_point(game):
    """Against the same sums in fractions, which do not overflow."""
    rng = np.random.default_rng(0)
    proposals = rng.uniform(-1, 1, (game.episodes, 1, 5))
    drawn = iter(proposals[::-1])
    plan = best_of_proposals(game, lambda: next(drawn))[0]
    squares = outputs = Fraction(0)
    discount, weight = Fraction(game.discount), Fraction(game.regularization)
    for n in reversed(range(game.episodes)):
        rate, choices = Fraction(game.learning_rates[n]), [Fraction(c) for c in proposals[n, 0].tolist()]

        def cost(c, rate=rate, squares=squares, outputs=outputs):
            m = 1 - 2 * rate * (c * c + weight)
            return (c - 1) ** 2 + discount * (m * m * squares - 2 * m * outputs)

        best = min(choices, key=cost)
        assert plan[n] == float(best)
        m = 1 - 2 * rate * (best * best + weight)
        squares, outputs = best * best + discount * m * m * squares, best + discount * m * outputs
        squares, outputs = (  # in a hundred digits
            Fraction(round(part * scale), scale) for part in (squares, outputs) for scale in [10**100]
        )
