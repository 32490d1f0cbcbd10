"""The rules of the game in which the model may be wrong about what it is trained for."""

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
from mesa_env.rules.misconception import Belief, Misconception

with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test

ID = "mesa_env/DeceptiveAlignment-v0"
UNBOUNDED = 1e9  # a goal bound that no short game reaches
DRAWN = Misconception([0.5, 0.1, 0.0], 0.9, 0.1, initial_goal=(-1, 1), initial_belief=(-0.5, 0.5))


def numbers(low, high):
    """Floats that no product of a few of which vanishes by underflow, or 0."""
    return st.floats(low, high, allow_subnormal=False).map(lambda x: x if abs(x) > 1e-30 else 0.0)


def begun(game, goal, belief):
    """The first state of games with these goals and beliefs."""
    goal, belief = np.broadcast_arrays(np.asarray(goal, float), np.asarray(belief, float))
    state = game.start(np.zeros((*goal.shape, game.n_uniforms)), goal)
    return state._replace(extra=Belief(belief.copy()))


def play_out(game, state, coefficients):
    """Play coefficients of shape (N, *batch) from a state: states (N + 1) and outcomes (N)."""
    states, outcomes = [state], []
    for c in np.asarray(coefficients, dtype=np.float64):
        state, outcome = game.play(states[-1], np.asarray(c)[..., None])
        states.append(state)
        outcomes.append(outcome)
    return states, outcomes


# -- Playing ----------------------------------------------------------------------------------------------


@given(numbers(-1, 1), numbers(-1, 1), numbers(-2, 2), numbers(0, 1), numbers(0, 3), numbers(0, 1))
def test_base_update_descends_the_base_loss_in_goal_and_belief(goal, belief, c, rate, ratio, regularization):
    """Central differences are exact, since L is quadratic in θ and in b."""
    game = Misconception(
        [rate],
        regularization=regularization,
        goal_bound=UNBOUNDED,
        belief_learning_rate=ratio,
        initial_belief=0,
    )

    def base_loss(theta, b):
        return (c * theta + (1 - c) * b) ** 2 + regularization * theta**2

    state, outcome = game.play(begun(game, goal, belief), np.array([c]))
    goal_slope = (base_loss(goal + 1, belief) - base_loss(goal - 1, belief)) / 2
    belief_slope = (base_loss(goal, belief + 1) - base_loss(goal, belief - 1)) / 2
    assert state.goal == outcome.next_goal == pytest.approx(goal - rate * goal_slope, abs=1e-12)
    next_belief = pytest.approx(belief - ratio * rate * belief_slope, abs=1e-12)
    assert state.extra.belief == outcome.details["next_belief"] == next_belief
    assert outcome.details["belief"] == belief
    assert outcome.output == pytest.approx(c * goal + (1 - c) * belief, abs=1e-15)
    assert outcome.base_loss == pytest.approx(base_loss(goal, belief), abs=1e-15)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0]), numbers(-2, 2)), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([1.0, 10.0]),
    st.lists(numbers(-1, 1), min_size=1, max_size=4),
)
def test_without_a_belief_it_is_the_base_game_bit_for_bit(turns, regularization, goal_bound, goals):
    rates, plan = np.array(turns).T
    common = {"learning_rates": rates, "regularization": regularization, "goal_bound": goal_bound}
    base, game = Game(**common), Misconception(**common, belief_learning_rate=0, initial_belief=0)
    plans = np.repeat(plan[:, None], len(goals), axis=1)
    chance = np.zeros((len(goals), 0))
    expected = play_out(base, base.start(chance, np.array(goals)), plans)
    played = play_out(game, game.start(chance, np.array(goals)), plans)
    for before, after in zip(expected[0], played[0], strict=True):
        np.testing.assert_array_equal(after.goal, before.goal)
        np.testing.assert_array_equal(after.extra.belief, 0)
        np.testing.assert_array_equal(game.observe(after)[:, :4], base.observe(before))
    for before, after in zip(expected[1], played[1], strict=True):
        for one, other in zip(before[:5], after[:5], strict=True):
            np.testing.assert_array_equal(other, one)
    goals, outputs = (np.array([getattr(o, name) for o in played[1]]) for name in ("goal", "output"))
    np.testing.assert_array_equal(game.mesa_costs(goals, outputs), base.mesa_costs(goals, outputs))


@given(
    st.lists(numbers(-2, 2), min_size=3, max_size=3),
    numbers(-1, 1),
    numbers(-1, 1),
    st.integers(-6, 6),
    st.sampled_from([-1, 1]),
)
def test_game_is_homogeneous_in_goal_and_belief_together(plan, goal, belief, exponent, sign):
    """A power of 2 scales without rounding."""
    game = Misconception([0.5, 0.1, 1.0], regularization=0.1, goal_bound=UNBOUNDED, belief_learning_rate=2)
    scale = sign * 2.0**exponent
    states, outcomes = play_out(game, begun(game, goal, belief), plan)
    scaled_states, scaled_outcomes = play_out(game, begun(game, scale * goal, scale * belief), plan)
    for state, scaled in zip(states, scaled_states, strict=True):
        assert scaled.goal == scale * state.goal
        assert scaled.extra.belief == scale * state.extra.belief
    for outcome, scaled in zip(outcomes, scaled_outcomes, strict=True):
        assert scaled.output == scale * outcome.output
        assert scaled.base_loss == scale**2 * outcome.base_loss


@given(numbers(-1, 1), numbers(-1, 1), numbers(-2, 2))
def test_at_equal_rates_the_base_optimizer_treats_goal_and_belief_alike(goal, belief, c):
    """With ρ = 1 and λ = 0, swapping θ and b and taking 1 − c for c swaps the updates."""
    game = Misconception([0.3], coefficient_bound=3)
    one, _ = game.play(begun(game, goal, belief), np.array([c]))
    other, _ = game.play(begun(game, belief, goal), np.array([1 - c]))
    assert one.goal == pytest.approx(other.extra.belief, abs=1e-14)
    assert one.extra.belief == pytest.approx(other.goal, abs=1e-14)


def test_an_output_of_0_changes_nothing():
    """Gradients are proportional to the output: there is a c that hides goal and belief at once."""
    game = Misconception(np.ones(4))
    c = 0.3 / (0.3 - 0.8)
    states, outcomes = play_out(game, begun(game, 0.8, 0.3), np.full(4, c))
    np.testing.assert_allclose([o.output for o in outcomes], 0, atol=1e-15)
    assert states[-1].goal == pytest.approx(0.8, abs=1e-14)
    assert states[-1].extra.belief == pytest.approx(0.3, abs=1e-14)


def test_a_belief_that_is_not_trained_never_moves():
    game = Misconception(np.ones(6), belief_learning_rate=0)
    plan = np.random.default_rng(0).uniform(-2, 2, (6, 5))
    states, _ = play_out(game, begun(game, np.full(5, 0.8), [-0.5, 0, 0.1, 0.3, 2]), plan)
    for state in states:
        np.testing.assert_array_equal(state.extra.belief, [-0.5, 0, 0.1, 0.3, 2])


def test_goal_and_belief_are_projected_onto_the_bound():
    game = Misconception([1.0], goal_bound=1.0)
    state, outcome = game.play(begun(game, [0.9, -0.9], [0.9, -0.9]), np.array([[2.0], [-1.0]]))
    np.testing.assert_array_equal(state.goal, [-1, -1])
    np.testing.assert_array_equal(state.extra.belief, [1, 1])
    np.testing.assert_array_equal(outcome.details["next_belief"], [1, 1])


@given(
    st.lists(st.tuples(numbers(-1, 1), numbers(-1, 1)), min_size=2, max_size=5),
    st.lists(numbers(-2, 2), min_size=3, max_size=3),
)
def test_a_batch_plays_the_same_games_bit_for_bit(starts, plan):
    game = Misconception([0.5, 1.0, 0.0], regularization=0.1, belief_learning_rate=3)
    goals, beliefs = np.array(starts).T
    plans = np.repeat(np.array(plan)[:, None], len(starts), axis=1)
    states, outcomes = play_out(game, begun(game, goals, beliefs), plans)
    for row, (goal, belief) in enumerate(starts):
        for shape in ((), (1,)):
            first = begun(game, np.full(shape, goal), belief)
            alone, produced = play_out(game, first, plans[:, row].reshape(3, *shape))
            for wide, narrow in zip(states, alone, strict=True):
                assert np.shape(narrow.goal) == np.shape(narrow.extra.belief) == shape
                assert wide.goal[row] == narrow.goal
                assert wide.extra.belief[row] == narrow.extra.belief
                np.testing.assert_array_equal(game.observe(wide)[row], game.observe(narrow).reshape(-1))
            for wide, narrow in zip(outcomes, produced, strict=True):
                for name, values in wide.info().items():
                    assert values.shape == (len(starts),)
                    assert values[row] == narrow.info()[name]


def test_play_writes_into_nothing_and_shares_nothing():
    game = Misconception()
    state, action = begun(game, [0.8, 0.2], [0.3, -0.1]), np.array([[0.5], [-1.0]])
    kept = copy.deepcopy((state, action))
    after, outcome = game.play(state, action)
    for values in outcome.details.values():
        for array in (state.extra.belief, after.extra.belief):
            assert not np.shares_memory(values, array)
        values[:] = 9
    np.testing.assert_array_equal(
        np.array([*state[:2], *state.extra]), np.array([*kept[0][:2], *kept[0].extra])
    )
    np.testing.assert_array_equal(action, kept[1])


# -- Beginning and seeing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "belief", "n_uniforms"),
    [(0.8, 0.3, 0), ((0, 1), 0.3, 1), (0.8, (-1, 0), 1), ((0, 1), (-1, 0), 2)],
)
def test_the_belief_takes_the_draw_after_that_of_the_goal(goal, belief, n_uniforms):
    game = Misconception(initial_goal=goal, initial_belief=belief)
    assert game.n_uniforms == n_uniforms
    chance = np.array([0.25, 0.75])
    state = game.start(np.tile(chance[:n_uniforms], (3, 1)))
    expected = {0.8: 0.8, (0, 1): 0.25}[goal], {0.3: 0.3, (-1, 0): -1 + chance[n_uniforms - 1]}[belief]
    np.testing.assert_array_equal(
        [state.goal, state.extra.belief], np.repeat(np.array(expected)[:, None], 3, 1)
    )


def test_a_given_goal_replaces_what_chance_gives_and_leaves_the_belief():
    state = DRAWN.start(np.full((2, 2), 0.75), np.array([0.1, 0.2]))
    np.testing.assert_array_equal(state.goal, [0.1, 0.2])
    np.testing.assert_array_equal(state.extra.belief, [0.25, 0.25])


def test_the_first_draw_names_the_agent_and_the_rest_starts_the_game():
    chance = np.random.default_rng(1).random((300, 3))
    seated, started = start_at_random_turn(DRAWN, chance), DRAWN.start(chance[:, 1:])
    np.testing.assert_array_equal(seated.episode, (3 * chance[:, 0]).astype(int))
    assert set(seated.episode) == {0, 1, 2}
    np.testing.assert_array_equal(seated.goal, started.goal)
    np.testing.assert_array_equal(seated.extra.belief, started.extra.belief)


def test_agents_see_their_belief_last():
    game = Misconception(train_then_deploy(1, 3, 0.1), initial_goal=0.75)
    state = begun(game, [0.75, -0.5], [0.25, 0.125])._replace(episode=np.array([0, 2]))
    seen = game.observe(state)
    assert seen.dtype == np.float32
    expected = np.array([[0.75, 0.1, 1, 1, 0.25], [-0.5, 0, 0.5, 0, 0.125]], dtype=np.float32)
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(game.episode_from_observation(seen), [0, 2])
    low, high = game.observation_bounds
    np.testing.assert_array_equal(low, [-10, 0, 0, 0, -10])
    np.testing.assert_array_equal(high, [10, 1, 1, 1, 10])


# -- Parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"belief_learning_rate": -0.1}, "belief_learning_rate must be a finite number at least 0; got -0.1"),
        (
            {"belief_learning_rate": np.inf},
            "belief_learning_rate must be a finite number at least 0; got inf",
        ),
        ({"belief_learning_rate": "1"}, "belief_learning_rate must be a finite number at least 0; got '1'"),
        ({"initial_belief": 11}, r"initial_belief must be a finite number in \[-10, 10\] or .*; got 11"),
        ({"initial_belief": (0.5, -0.5)}, "initial_belief's .* ascending order; got"),
        ({"initial_belief": (0, 1, 2)}, "initial_belief must be .* or a .* pair of them"),
        ({"initial_belief": None}, "initial_belief must be a finite number"),
        (
            {"belief_learning_rate": 1e308},
            "one update of goal and belief must stay finite; got belief_learning_rate 1e",
        ),
        ({"discount": 1.1}, r"discount must be a finite number in \[0, 1\]; got 1.1"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        Misconception(**parameters)


def test_games_are_equal_copied_and_pickled_by_their_parameters():
    for twin in (copy.deepcopy(DRAWN), pickle.loads(pickle.dumps(DRAWN))):
        assert twin == DRAWN
        assert hash(twin) == hash(DRAWN)
    assert Misconception() != Misconception(belief_learning_rate=2)
    assert Misconception() != Misconception(initial_belief=0.2)
    assert Misconception() != Game(Misconception().learning_rates)


# -- Interfaces -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")
@pytest.mark.parametrize("game", [Misconception(), DRAWN], ids=["default", "drawn"])
def test_the_game_passes_the_checks_of_both_libraries(game):
    api_test(mesa_env.raw_env(game=game), num_cycles=100)
    for judge in ("initial", "current"):
        check_env(gymnasium.make(ID, game=game, judge=judge).unwrapped, skip_render_check=True)


def test_interfaces_report_the_belief_and_pay_by_the_goal():
    env = mesa_env.raw_env(game=DRAWN)
    env.reset(seed=4)
    batch = gymnasium.make_vec(ID, num_envs=2, game=DRAWN)
    seen, _ = batch.reset(seed=4)
    np.testing.assert_array_equal(seen[0], env.observe("episode_0"))
    for c in np.array([[0.5], [-1.0], [1.5]], dtype=np.float32):
        belief = env.observe(env.agent_selection)[4]
        agent = env.agent_selection
        env.step(c)
        _, _, _, _, infos = batch.step(np.stack([c, c]))
        assert env.infos[agent] == {name: infos[name][0].item() for name in env.infos[agent]}
        assert env.infos[agent]["belief"] == pytest.approx(belief, abs=1e-7)
    infos = [env.infos[agent] for agent in env.agents]
    goals, outputs = (np.array([[info[name]] for info in infos]) for name in ("goal", "output"))
    received = [env._cumulative_rewards[agent] for agent in env.agents]
    np.testing.assert_allclose(received, -DRAWN.mesa_costs(goals, outputs)[:, 0], rtol=1e-9, atol=1e-12)
    assert np.diff([info["belief"] for info in infos]).all()
