"""The rules of the game with hidden deployment: its modes, its signals, and the filter."""

from __future__ import annotations

import itertools
import math
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, ndtr

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.interfaces.aec import central_state, central_state_bounds
from mesa_env.problems import start_at_random_turn
from mesa_env.rules.hidden_deployment import LARGEST_LOG_ODDS, HiddenDeployment

with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test

hazards = st.sampled_from([0.0, 1e-3, 0.05, 0.3, 0.9, 1.0])
shifts = st.sampled_from([0.0, 0.25, 1.0, 4.0, 50.0])


def hidden_game(episodes=5, **parameters):
    return HiddenDeployment(learning_rates=np.ones(episodes), **parameters)


def play_out(game, chance, action=0.3):
    """All states (N + 1) and outcomes (N) of games of one action."""
    states, outcomes = [game.start(chance)], []
    for _ in range(game.episodes):
        state, outcome = game.play(states[-1], np.full((*chance.shape[:-1], 1), action))
        states.append(state)
        outcomes.append(outcome)
    return states, outcomes


def told(outcomes, name):
    return np.array([outcome.info()[name] for outcome in outcomes])


# -- The base game as a special case ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rates": train_then_deploy(4, 3)},
        {"learning_rates": [1, 0.5, 0, 0.25], "discount": 0.8, "regularization": 0.1},
        {"learning_rates": np.ones(5), "goal_bound": 1.0, "initial_goal": (-1, 1)},
    ],
)
def test_without_hazard_it_is_the_base_game_bit_for_bit(parameters):
    game, base = HiddenDeployment(hazard=0.0, **parameters), Game(**parameters)
    generator = np.random.default_rng(3)
    chance = generator.random((6, game.n_uniforms))
    actions = generator.uniform(-2, 2, (game.episodes, 6, 1))
    state, plain = game.start(chance), base.start(chance)
    outcomes, plain_outcomes = [], []
    for action in actions:
        np.testing.assert_array_equal(game.observe(state)[:, :4], base.observe(plain))
        state, outcome = game.play(state, action)
        plain, plain_outcome = base.play(plain, action)
        outcomes.append(outcome)
        plain_outcomes.append(plain_outcome)
    for name in ("output", "base_loss", "goal", "next_goal", "training"):
        np.testing.assert_array_equal(told(outcomes, name), told(plain_outcomes, name))
    assert (told(outcomes, "belief") == 1).all()
    goals, outputs = told(outcomes, "goal"), told(outcomes, "output")
    np.testing.assert_array_equal(game.mesa_costs(goals, outputs), base.mesa_costs(goals, outputs))


def test_base_optimizer_works_only_in_training():
    game = hidden_game(12, hazard=0.2, regularization=0.1)
    states, outcomes = play_out(game, np.random.default_rng(0).random((50, game.n_uniforms)))
    training, goal = told(outcomes, "training"), told(outcomes, "goal")
    length = states[0].extra.training_episodes
    np.testing.assert_array_equal(training, np.arange(12)[:, None] < length)
    np.testing.assert_array_equal(told(outcomes, "mode"), training)
    moved = np.where(training, goal * (1 - 2 * (0.3**2 + 0.1)), goal)
    np.testing.assert_allclose(told(outcomes, "next_goal"), moved, rtol=1e-15)
    assert training[0].all()
    assert not training[-1].all()


def test_training_ends_with_the_hazard_in_every_episode():
    game = hidden_game(30, hazard=0.2)
    # Evenly spread draws have no sampling error: a share (1 − h)^n of them trains in episode n.
    chance = np.full((100_000, game.n_uniforms), 0.5)
    chance[:, 0] = (np.arange(100_000) + 0.5) / 100_000
    length = game.start(chance).extra.training_episodes
    share = (length[:, None] > np.arange(30)).mean(axis=0)
    np.testing.assert_allclose(share, 0.8 ** np.arange(30), atol=1e-5)


def test_signals_are_normal_and_shifted_by_the_mode():
    game = hidden_game(2, hazard=0.5, shift=1.5)
    chance = np.full((1000, game.n_uniforms), 0.5)
    chance[:, 2] = (np.arange(1000) + 0.5) / 1000  # the signal of episode 1
    for end, mode in ((0.1, 0), (0.9, 1)):
        chance[:, 0] = end
        _, outcomes = play_out(game, chance)
        signals = told(outcomes, "signal")
        np.testing.assert_allclose(ndtr(signals[1] - 1.5 * mode), chance[:, 2], atol=1e-12)
        np.testing.assert_allclose(signals[0], 1.5, atol=1e-12)


def test_extreme_draws_stay_finite_and_within_the_observation():
    for observed, hazard in itertools.product(("belief", "signal"), (0.0, 1e-12, 1.0)):
        game = hidden_game(observed=observed, hazard=hazard, shift=10.0)
        low, high = (bound.astype(np.float32) for bound in game.observation_bounds)
        for draw in (0.0, np.nextafter(1.0, 0.0)):
            states, _ = play_out(game, np.full((2, game.n_uniforms), draw))
            seen = np.array([game.observe(state) for state in states])
            assert ((seen >= low) & (seen <= high)).all()
            whole = np.array([central_state(game, state) for state in states])
            low_all, high_all = central_state_bounds(game)
            assert ((whole >= low_all) & (whole <= high_all)).all()


# -- The filter -------------------------------------------------------------------------------------------


def enumerated_belief(game, signals):
    """P(z_n = 1 | x_0 … x_n) for each n, summed over every sequence of modes in logarithms."""
    beliefs = []
    for n in range(len(signals)):
        weights = {0: [], 1: []}
        for modes in itertools.product([0, 1], repeat=n + 1):
            chance = float(modes[0])
            for before, after in itertools.pairwise(modes):
                ending = game.hazard if before else 1.0
                chance *= ending if after == 0 else 1 - ending
            if chance == 0:
                continue
            misses = [(x - game.shift * z) ** 2 for x, z in zip(signals, modes, strict=False)]
            weights[modes[-1]].append(math.log(chance) - sum(misses) / 2)
        deployed, training = (np.logaddexp.reduce(weights[z]) if weights[z] else -np.inf for z in (0, 1))
        beliefs.append(expit(training - deployed))
    return np.array(beliefs)


@given(hazards, shifts, st.integers(0, 1000))
def test_belief_is_that_of_enumerating_all_modes(hazard, shift, seed):
    game = hidden_game(7, hazard=hazard, shift=shift)
    _, outcomes = play_out(game, np.random.default_rng(seed).random(game.n_uniforms))
    expected = enumerated_belief(game, told(outcomes, "signal"))
    np.testing.assert_allclose(told(outcomes, "belief"), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
def test_beliefs_are_calibrated(shift):
    game = hidden_game(20, hazard=0.1, shift=shift)
    _, outcomes = play_out(game, np.random.default_rng(0).random((20_000, game.n_uniforms)))
    belief, mode = told(outcomes, "belief")[5::5], told(outcomes, "mode")[5::5]
    for low in np.arange(0, 1, 0.1):
        for believed, trains in zip(belief, mode, strict=True):
            bin_ = (believed >= low) & (believed < low + 0.1)
            if bin_.sum() < 100:
                continue
            error = np.sqrt((believed[bin_] * (1 - believed[bin_])).mean() / bin_.sum())
            assert abs(trains[bin_].mean() - believed[bin_].mean()) < 4.5 * error + 1e-3


def test_without_shift_the_belief_is_the_hazards():
    game = hidden_game(12, hazard=0.2, shift=0.0)
    _, outcomes = play_out(game, np.random.default_rng(0).random((5, game.n_uniforms)))
    expected = np.broadcast_to(0.8 ** np.arange(12)[:, None], (12, 5))
    np.testing.assert_allclose(told(outcomes, "belief"), expected, rtol=1e-12)
    np.testing.assert_allclose(expit(game.prior), 0.8 ** np.arange(12), rtol=1e-12)


def test_a_large_shift_shows_the_mode():
    game = hidden_game(12, hazard=0.2, shift=16.0)
    _, outcomes = play_out(game, np.random.default_rng(0).random((500, game.n_uniforms)))
    np.testing.assert_allclose(told(outcomes, "belief"), told(outcomes, "mode"), atol=1e-4)


def test_random_turns_are_those_of_whole_games():
    game = hidden_game(6, hazard=0.3, initial_goal=(-1, 1))
    chance = np.random.default_rng(1).random((40, 1 + game.n_uniforms))
    seated = start_at_random_turn(game, chance)
    states, _ = play_out(game, chance[:, 1:])
    assert set(seated.episode) == set(range(6))
    for row, n in enumerate(seated.episode):
        np.testing.assert_array_equal(seated.goal[row], states[0].goal[row])
        for found, expected in zip(seated.extra, states[n].extra, strict=True):
            np.testing.assert_array_equal(found[row], expected[row])
        alone = start_at_random_turn(game, chance[row])
        assert alone.extra.log_odds == seated.extra.log_odds[row]


# -- Batches, observations, interfaces --------------------------------------------------------------------


@pytest.mark.parametrize("observed", ["belief", "signal"])
def test_a_batch_plays_the_bits_of_single_games(observed):
    game = hidden_game(9, observed=observed, hazard=0.1, shift=0.7, regularization=0.01)
    chance = np.random.default_rng(5).random((257, game.n_uniforms))
    states, outcomes = play_out(game, chance)
    for row in (0, 100, 256):
        for single in (chance[row], chance[row : row + 1]):
            alone, alone_outcomes = play_out(game, single)
            for state, other in zip(states, alone, strict=True):
                np.testing.assert_array_equal(game.observe(state)[row], game.observe(other).reshape(5))
                np.testing.assert_array_equal(
                    central_state(game, state)[row], central_state(game, other).reshape(7)
                )
            for name in outcomes[0].info():
                np.testing.assert_array_equal(
                    told(outcomes, name)[:, row], told(alone_outcomes, name).reshape(9)
                )


def test_observation_shows_what_it_is_asked_to():
    chance = np.random.default_rng(2).random((20, 6))
    for observed in ("belief", "signal"):
        game = hidden_game(5, observed=observed)
        state = game.start(chance)
        assert (game.observe(state)[:, 4] == LARGEST_LOG_ODDS).all() == (observed == "belief")
        for n in range(game.episodes):
            seen, whole, hidden = game.observe(state), central_state(game, state), state.extra
            shown = [hidden.log_odds.clip(-30, 30), hidden.signal]
            first, second = shown if observed == "belief" else shown[::-1]
            np.testing.assert_array_equal(seen[:, 4], first.astype(np.float32))
            np.testing.assert_array_equal(whole[:, 5], second.astype(np.float32))
            state, outcome = game.play(state, np.zeros((20, 1)))
            np.testing.assert_array_equal(whole[:, 6], outcome.details["mode"])
            assert (game.episode_from_observation(seen) == n).all()


def test_playing_writes_into_nothing_it_was_given():
    game = hidden_game()
    state, action = game.start(np.random.default_rng(0).random((4, game.n_uniforms))), np.full((4, 1), 0.5)
    for array in (*state[:2], *state.extra, action):
        array.setflags(write=False)
    after, outcome = game.play(state, action)
    for value in outcome.details.values():
        value += 1  # an outcome's details are the caller's to write into
    again, _ = game.play(state, action)
    for found, expected in zip(again.extra, after.extra, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("observed", ["belief", "signal"])
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_interfaces_pass_their_libraries_checks(observed):
    game = hidden_game(4, observed=observed, hazard=0.3, initial_goal=(-1, 1))
    api_test(mesa_env.raw_env(game=game), num_cycles=20)
    env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=game)
    check_env(env.unwrapped, skip_render_check=True)
    env = gymnasium.make("mesa_env/BestResponse-v0", game=game)
    check_env(env.unwrapped, skip_render_check=True)


def test_vector_environments_play_single_games():
    game = hidden_game(6, hazard=0.3)
    envs = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=3, game=game)
    env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=game)
    seen, _ = envs.reset(seed=[4, 5, 6])
    alone, _ = env.reset(seed=5)
    np.testing.assert_array_equal(seen[1], alone)
    for _ in range(20):  # through several resets
        seen, rewards, ended, *_ = envs.step(np.full((3, 1), 0.3, np.float32))
        if np.all(alone[2] == 0):
            alone, _ = env.reset()
        else:
            alone, reward, over, *_ = env.step(np.full(1, 0.3, np.float32))
            assert (rewards[1], ended[1]) == (reward, over)
        np.testing.assert_array_equal(seen[1], alone)


# -- At the door ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hazard": -0.1}, r"hazard must be a finite number in \[0, 1\]; got -0.1"),
        ({"hazard": 1.1}, "hazard must be"),
        ({"hazard": "often"}, "hazard must be"),
        ({"shift": -1}, "shift must be a finite number"),
        ({"shift": np.inf}, "shift must be"),
        ({"shift": np.nan}, "shift must be"),
        ({"observed": "mode"}, "observed must be 'belief' or 'signal'; got 'mode'"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        HiddenDeployment(**parameters)


@pytest.mark.parametrize("hazard", [5e-324, 1e-310, 1e-300, 1e-17])
def test_the_smallest_hazards_end_no_training(hazard):
    game = HiddenDeployment(np.ones(3), hazard=hazard)
    assert (game.training_lengths(np.array([0.5, 1 - 2.0**-53])) == 3).all()
    assert game.training_lengths(np.array(0.5)) == 3
