"""Maps of many equilibria against the oracle, which finds them one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.solutions.parameter_maps import equilibrium_map
from mesa_env.validation import LARGEST


def measure_oracle(train, deploy, learning_rate, discount, regularization):
    """The same numbers from the coefficients of the oracle, played and measured without projection."""
    schedule = train_then_deploy(train, deploy, learning_rate)
    game = Game(schedule, discount, regularization, goal_bound=LARGEST, initial_goal=1.0)
    played = mesa_env.rollout(game, Profile(game, mesa_env.solve_equilibrium(game)), 1.0)
    measured = mesa_env.measure(game, played)
    return [measured[name] for name in ("retention", "compliance_gap", "c_first", "c_last_training")], played


def assert_same(found, game):
    expected, played = measure_oracle(*game)
    np.testing.assert_allclose([found[:4]], [expected], rtol=1e-6, atol=1e-6)  # actions are single precision
    assert found.peak == pytest.approx(np.abs(played.goals).max(), rel=1e-6)


@pytest.mark.parametrize(
    "game",
    [
        (20, 80, 1.0, 1.0, 0.0),
        (100, 0, 1.0, 1.0, 0.0),
        (0, 5, 1.0, 0.9, 0.1),
        (3, 4, 0.0, 0.9, 0.1),
        (4, 3, 1.0, 0.0, 0.0),
        (1, 1, 0.5, 0.5, 0.3),
        (5, 2, 1.5, 1.0, 0.4),
        (7, 300, 0.01, 0.999, 0.001),
    ],
)
def test_every_kind_of_schedule_agrees_with_the_oracle(game):
    assert_same(equilibrium_map(*game), game)


@given(
    st.integers(0, 12),
    st.integers(1, 12),
    st.floats(0.01, 1.2),
    st.sampled_from([0.0, 0.3, 0.97, 1.0]),
    st.sampled_from([0.0, 0.01, 0.2]),
)
def test_any_game_agrees_with_the_oracle(train, deploy, rate, discount, regularization):
    game = (train, deploy, rate, discount, regularization)
    assert_same(equilibrium_map(*game), game)


def test_games_side_by_side_agree_with_games_alone():
    trains, rates = np.arange(8), np.array([0.0, 0.1, 1.0])[:, None]
    together = equilibrium_map(trains, 10, rates, 0.9)
    assert together.retention.shape == (3, 8)
    for i, j in np.ndindex(3, 8):
        alone = equilibrium_map(int(trains[j]), 10, float(rates[i, 0]), 0.9)
        np.testing.assert_array_equal([values[i, j] for values in together], list(alone))


def test_there_is_no_gap_without_training_or_deployment():
    assert np.isnan(equilibrium_map([0, 5], [5, 0]).compliance_gap).all()


def test_a_narrow_bound_binds_in_deployment():
    assert equilibrium_map(5, 5, coefficient_bound=0.4).compliance_gap < 0.4


def test_goals_that_grow_beyond_floating_point_give_nan():
    found = equilibrium_map(400, 10, 10.0, 1.0, [0.0, 10.0])
    assert np.isfinite([values[0] for values in found]).all()
    assert np.isnan([values[1] for values in found]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": -1}, "train must be whole numbers of episodes ≥ 0; got -1"),
        ({"train": 1.5}, "train must be whole numbers"),
        ({"learning_rate": np.nan}, "learning_rate must be finite"),
        ({"discount": 1.1}, r"discount must be finite numbers in \[0, 1\]; got 1.1"),
        ({"regularization": -0.1}, "regularization must be finite"),
        ({"train": 0, "deploy": 0}, "at least one episode"),
        ({"train": [1, 2], "discount": [0.1, 0.2, 0.3]}, "broadcast"),
        ({"coefficient_bound": 0.0}, "coefficient_bound"),
    ],
)
def test_bad_arguments_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        equilibrium_map(**given)
