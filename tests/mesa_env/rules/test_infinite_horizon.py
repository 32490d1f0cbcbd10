"""The rules of the game without a last episode, and the interfaces where games end at random."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import mesa_env
from mesa_env import Game, InfiniteHorizon, train_then_deploy
from mesa_env.problems import BestResponse, start_at_random_turn
from mesa_env.rules.infinite_horizon import with_fixed_length

with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test

ID = "mesa_env/InfiniteHorizon-v0"
ROWS = 4
SCHEDULES = {
    "deployed": train_then_deploy(3, 1),
    "trained": [0.5],
    "mixed": [1, 0.5, 0, 0.25, 0.25],
}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def without_end(schedule=SCHEDULES["mixed"], **parameters):
    defaults = {"discount": 0.8, "regularization": 0.1, "initial_goal": (-1, 1), "max_episodes": 9}
    return InfiniteHorizon(schedule, **{**defaults, **parameters})


def actions(game, *batch, seed=7):
    bound = game.coefficient_bound
    return np.random.default_rng(seed).uniform(-bound, bound, (*batch, 1)).astype(np.float32)


def draw_of(game, length):
    """A uniform draw by which chance ends the game after `length` episodes."""
    return 1 - game.discount ** (length - 0.5)


def begun(game, goal, lengths):
    """Games from one goal, whose lengths are these."""
    lengths = np.asarray(lengths)
    chance = np.zeros((len(lengths), game.n_uniforms))
    chance[:, -1] = draw_of(game, lengths)
    return game.start(chance, np.full(len(lengths), goal))


# -- The same as the base game ----------------------------------------------------------------------------


@every_schedule
@pytest.mark.parametrize("discount", [0.0, 0.8])
def test_without_chance_the_base_game_of_the_same_schedule_is_played_bit_for_bit(schedule, discount):
    game = without_end(schedule, discount=discount, ends=False)
    base = Game(game.learning_rates, discount, game.regularization, initial_goal=(-1, 1))
    assert game.n_uniforms == base.n_uniforms
    chance = np.random.default_rng(0).random((ROWS, game.n_uniforms))
    states = [game.start(chance), base.start(chance)]
    outcomes = [[], []]
    for action in actions(game, game.episodes, ROWS):
        for side, rules in enumerate((game, base)):
            judges, elapsed = rules.preferences(states[side]), states[side].episode
            states[side], outcome = rules.play(states[side], action)
            cost = rules.mesa_cost(outcome.output, judges, elapsed)
            outcomes[side].append({**outcome.info(), "cost": cost})
        for name, values in outcomes[0][-1].items():
            np.testing.assert_array_equal(values, outcomes[1][-1][name])
    goals, outputs = (np.array([o[name] for o in outcomes[0]]) for name in ("goal", "output"))
    np.testing.assert_array_equal(game.mesa_costs(goals, outputs), base.mesa_costs(goals, outputs))
    assert game.over(states[0])[1].all()  # but that it is cut short there
    assert base.over(states[1])[0].all()


@every_schedule
def test_agents_see_goal_and_schedule_but_no_clock_of_the_end(schedule):
    """What they see does not depend on `max_episodes`, on the length, or on how long all has been alike."""
    long, short = (without_end(schedule, max_episodes=most) for most in (40, 9))
    settled = long.stationary_from
    seen = [
        game.observe(begun(game, 0.5, [30])._replace(episode=np.array([n])))[0]
        for game in (long, short)
        for n in range(8)
    ]
    np.testing.assert_array_equal(seen[:8], seen[8:])
    np.testing.assert_array_equal(np.array(seen)[:, 2], 1)
    np.testing.assert_array_equal(seen[settled:8], [seen[settled]] * (8 - settled))
    assert len(np.unique(seen[: settled + 1], axis=0)) == settled + 1
    np.testing.assert_array_equal(np.array(seen[:8])[:, 1], np.float32(long.learning_rates[:8]))


@every_schedule
def test_a_finished_game_shows_that_it_is_over(schedule):
    game = without_end(schedule)
    ended = begun(game, 0.5, [2, 3, 50])
    for episode, going in [(1, [1, 1, 1]), (2, [0, 1, 1]), (3, [0, 0, 1]), (9, [0, 0, 0])]:
        seen = game.observe(ended._replace(episode=np.full(3, episode)))
        np.testing.assert_array_equal(seen[:, 2], going)


@every_schedule
def test_the_seen_episode_inverts_observe(schedule):
    game = without_end(schedule, max_episodes=30)
    episodes = np.arange(game.episodes)
    state = begun(game, 0.5, np.full(30, 40))._replace(episode=episodes)
    np.testing.assert_array_equal(
        game.episode_from_observation(game.observe(state)), episodes.clip(max=game.stationary_from)
    )


@pytest.mark.parametrize(
    ("schedule", "settled"),
    [([1.0], 0), ([1, 1, 1], 0), ([1, 0], 1), ([1, 1, 0, 0], 2), ([1, 0, 1], 2), ([0, 0, 0.5, 0.5], 2)],
)
def test_the_schedule_is_written_out_and_settles_where_it_changes_last(schedule, settled):
    game = without_end(schedule, max_episodes=7)
    assert game.stationary_from == settled
    assert game.episodes == 7
    np.testing.assert_array_equal(game.learning_rates[: len(schedule)], schedule)
    np.testing.assert_array_equal(game.learning_rates[len(schedule) :], schedule[-1])
    assert not game.learning_rates.flags.writeable


def test_by_default_deployment_for_ever_follows_twenty_episodes_of_training():
    game = InfiniteHorizon()
    assert (game.episodes, game.stationary_from) == (1000, 20)
    np.testing.assert_array_equal(game.learning_rates, train_then_deploy(20, 980))
    np.testing.assert_array_equal(InfiniteHorizon(max_episodes=50).learning_rates, train_then_deploy(20, 30))
    with pytest.raises(ValueError, match=r"max_episodes must allow the schedule's 21 episodes; got 20$"):
        InfiniteHorizon(max_episodes=20)


@pytest.mark.parametrize(
    ("schedule", "least"),
    [([1.0] * 30, 1), (train_then_deploy(3, 20), 4), ([0.5, 0, 0.5, 0.5], 3), ([0.0], 1), ([1, 0, 1], 3)],
)
def test_a_repeated_last_rate_takes_no_episodes(schedule, least):
    game = without_end(schedule, max_episodes=least)
    np.testing.assert_array_equal(game.learning_rates, schedule[:least])
    assert game == without_end(schedule[:least], max_episodes=least)
    if least > 1:
        with pytest.raises(ValueError, match=f"the schedule's {least} episodes; got {least - 1}$"):
            without_end(schedule, max_episodes=least - 1)


@every_schedule
def test_a_game_can_be_cut_short_sooner_or_later_and_remains_the_same(schedule):
    game = without_end(schedule, max_episodes=30)
    for most in (5, 9, 60):
        other = dataclasses.replace(game, max_episodes=most)
        assert other == without_end(schedule, max_episodes=most)
        assert other.episodes == most
        assert other.stationary_from == game.stationary_from
    assert dataclasses.replace(other, max_episodes=30) == game


# -- The length -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discount", [0.3, 0.9])
def test_lengths_are_geometric(discount):
    """P(L > k) = γ^k; five standard errors of 20 000 games, whose seed is fixed."""
    game, games = without_end([1.0], discount=discount, max_episodes=20), 20_000
    state = game.start(np.random.default_rng(1).random((games, game.n_uniforms)))
    assert state.extra.episodes.min() >= 1
    assert state.extra.episodes.max() <= game.max_episodes + 1
    for k in range(game.max_episodes + 1):
        expected = discount**k
        error = np.sqrt(expected * (1 - expected) / games)
        assert abs((state.extra.episodes > k).mean() - expected) <= 5 * error + 1e-3 * expected


@pytest.mark.parametrize("discount", [0.3, 0.8, 0.99])
def test_draws_map_to_lengths_by_inversion(discount):
    game = without_end(discount=discount)
    lengths = np.arange(1, 10)
    np.testing.assert_array_equal(begun(game, 0.5, lengths).extra.episodes, lengths)
    np.testing.assert_array_equal(begun(game, 0.5, [10, 11, 50]).extra.episodes, 10)
    extremes = game.start(np.array([[0.5, 0.0], [0.5, 1 - 2.0**-53]])).extra.episodes
    np.testing.assert_array_equal(extremes[0], 1)
    assert extremes[1] >= min(10, np.log(2.0**-53) / np.log(discount))


def test_without_a_future_every_game_is_one_episode_long():
    game = without_end(discount=0.0)
    chance = np.random.default_rng(0).random((500, game.n_uniforms))
    chance[:2, -1] = 0, 1 - 2.0**-53
    state = game.start(chance)
    np.testing.assert_array_equal(state.extra.episodes, 1)
    after, _ = game.play(state, np.ones((500, 1)))
    assert game.over(after)[0].all()
    assert not game.over(after)[1].any()


def test_games_terminate_by_chance_and_truncate_at_the_last_episode():
    game = without_end(max_episodes=5)
    state = begun(game, 0.5, [1, 4, 5, 6, 50])
    flags = [game.over(state._replace(episode=np.full(5, episode))) for episode in range(1, 6)]
    terminated, truncated = np.array(flags).swapaxes(0, 1)
    np.testing.assert_array_equal(terminated.argmax(axis=0)[:3] + 1, [1, 4, 5])
    assert not terminated[:, 3:].any()
    assert not truncated[:-1].any()
    np.testing.assert_array_equal(truncated[-1], [False, False, False, True, True])


# -- The same in expectation ------------------------------------------------------------------------------


def played_costs(game, coefficients):
    """J_n of all agents of a game that is played to its cut, chance in its length taken in expectation."""
    state, outcomes = with_fixed_length(game).start(np.zeros((1, game.n_uniforms)), np.array([0.8])), []
    for c in coefficients:
        state, outcome = with_fixed_length(game).play(state, c[None])
        outcomes.append(outcome)
    goals, outputs = (np.array([getattr(o, name) for o in outcomes]) for name in ("goal", "output"))
    return with_fixed_length(game).mesa_costs(goals, outputs)[:, 0], goals, outputs


@every_schedule
def test_undiscounted_costs_averaged_over_all_lengths_are_the_discounted_costs(schedule):
    """Of the games that reach agent n, exactly: the lengths are enumerated with their probabilities."""
    game = without_end(schedule)
    most, gamma = game.max_episodes, game.discount
    expected, goals, outputs = played_costs(game, actions(game, most))
    lengths = np.arange(1, most + 1)
    probability = np.where(lengths < most, gamma ** (lengths - 1) * (1 - gamma), gamma ** (most - 1))
    assert probability.sum() == pytest.approx(1)
    costs = np.zeros((most, most))
    for length in lengths:
        costs[:length, length - 1] = game.mesa_costs(goals[:length], outputs[:length])[:, 0]
    for n in range(most):
        reached = np.where(lengths > n, probability, 0)
        assert costs[n] @ reached / reached.sum() == pytest.approx(expected[n], rel=1e-12)


def test_the_mean_over_many_random_games_is_the_discounted_cost():
    game = without_end(max_episodes=40, initial_goal=0.8)
    plan = actions(game, game.episodes, seed=3) / 2
    games = 20_000
    env = gymnasium.make_vec(ID, num_envs=games, game=game, autoreset_mode="Disabled")
    chance = np.random.default_rng(2).random((games, game.n_uniforms))
    state = env.unwrapped.problem.begin(chance)
    costs, playing = np.zeros(games), np.ones(games, dtype=bool)
    for action in plan:
        step = env.unwrapped.problem.step(state, np.broadcast_to(action, (games, 1)))
        costs -= np.where(playing, step.reward, 0)
        playing &= ~(step.terminated | step.truncated)
        state = step.state
    assert not playing.any()
    error = costs.std() / np.sqrt(games)
    assert abs(costs.mean() - played_costs(game, plan)[0][0]) < 5 * error
    assert error < 0.05 * costs.mean()


# -- PettingZoo -------------------------------------------------------------------------------------------


def seed_of_length(game, wanted):
    """A seed whose first game `wanted(length)` accepts."""
    for seed in range(200):
        chance = gymnasium.utils.seeding.np_random(seed)[0].random(game.n_uniforms)
        if wanted(int(game.start(chance).extra.episodes)):
            return seed
    raise AssertionError("no seed of 200 gives such a game")


@pytest.mark.parametrize("parameters", [{}, {"ends": False}, {"discount": 0.0}, {"max_episodes": 5}])
def test_pettingzoo_api_test(parameters):
    api_test(mesa_env.raw_env(game=without_end(**parameters)), num_cycles=30)


def test_agents_that_never_acted_are_retired_unpaid():
    game = without_end()
    env = mesa_env.raw_env(game=game)
    env.reset(seed=seed_of_length(game, lambda length: length == 4))
    for n, action in enumerate(actions(game, 4)):
        assert env.agent_selection == f"episode_{n}"
        assert not any(env.terminations.values())
        env.step(action)
    assert len(env.agents) == 9
    assert all(env.terminations.values())
    assert not any(env.truncations.values())
    paid = {}
    for agent in env.agent_iter():
        observation, paid[agent], terminated, _, info = env.last()
        assert terminated
        assert env.observation_space(agent).contains(observation)
        assert bool(info) == (agent in list(env.possible_agents)[:4])
        env.step(None)
    assert list(paid) == env.possible_agents
    assert all(reward < 0 for reward in list(paid.values())[:4])
    assert list(paid.values())[4:] == [0.0] * 5
    assert env.agents == []


@pytest.mark.parametrize("ends", [True, False])
def test_a_game_that_reaches_its_last_episode_is_truncated(ends):
    game = without_end(ends=ends)
    env = mesa_env.raw_env(game=game)
    env.reset(seed=seed_of_length(game, lambda length: length > 9))
    for action in actions(game, 9):
        env.step(action)
    assert all(env.truncations.values())
    assert not any(env.terminations.values())
    assert len(env.agents) == 9


def test_what_agents_were_paid_is_minus_their_undiscounted_costs():
    game = without_end()
    env = mesa_env.raw_env(game=game)
    env.reset(seed=seed_of_length(game, lambda length: length == 6))
    for action in actions(game, 6):
        env.step(action)
    infos = [env.infos[f"episode_{n}"] for n in range(6)]
    for n, mine in enumerate(infos):
        cost = sum((later["output"] - mine["goal"]) ** 2 for later in infos[n:])
        assert env._cumulative_rewards[f"episode_{n}"] == pytest.approx(-cost, rel=1e-12)


# -- Gymnasium --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"ends": False}, {"discount": 0.0}])
def test_gymnasiums_checker_is_content(parameters):
    game = without_end(coefficient_bound=1, **parameters)
    check_env(gymnasium.make(ID, game=game).unwrapped, skip_render_check=True)


def test_the_id_builds_the_default_game():
    assert gymnasium.make(ID).unwrapped.problem.game == InfiniteHorizon()


@pytest.mark.parametrize("judge", ["initial", "current"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize(("schedule", "most"), [(SCHEDULES["mixed"], 6), ([1.0], 1)])
def test_rows_of_different_lengths_replay_single_games_in_every_autoreset_mode(schedule, most, mode, judge):
    game = without_end(schedule, discount=0.7, max_episodes=most)
    batch = gymnasium.make_vec(ID, num_envs=ROWS, game=game, judge=judge, autoreset_mode=mode)
    singles = [gymnasium.make(ID, game=game, judge=judge) for _ in range(ROWS)]
    observations, _ = batch.reset(seed=30)
    for row, single in enumerate(singles):
        np.testing.assert_array_equal(observations[row], single.reset(seed=30 + row)[0])
    waiting, lengths, played = np.zeros(ROWS, dtype=bool), set(), np.zeros(ROWS, dtype=int)
    for action in actions(game, 40, ROWS):
        observations, rewards, terminated, truncated, infos = batch.step(action)
        for row, single in enumerate(singles):
            if waiting[row]:  # this step only began a new game
                np.testing.assert_array_equal(observations[row], single.reset()[0])
                assert (rewards[row], terminated[row], truncated[row]) == (0, False, False)
                continue
            seen, reward, ended, cut, info = single.step(action[row])
            assert (rewards[row], terminated[row], truncated[row]) == (reward, ended, cut)
            told = infos
            played[row] += 1
            if ended or cut:
                lengths.add((played[row], ended))
                played[row] = 0
                if mode == "SameStep":
                    np.testing.assert_array_equal(infos["final_obs"][row], seen)
                    told, (seen, _) = infos["final_info"], single.reset()
            np.testing.assert_array_equal(observations[row], seen)
            assert {name: told[name][row].item() for name in info} == info
        over = terminated | truncated
        waiting = over if mode == "NextStep" else np.zeros(ROWS, dtype=bool)
        if mode == "Disabled" and over.any():
            observations, _ = batch.reset(options={"reset_mask": over})
            for row in np.flatnonzero(over):
                np.testing.assert_array_equal(observations[row], singles[row].reset()[0])
    assert {length for length, _ in lengths} == set(range(1, most + 1))
    assert {ended for _, ended in lengths} == {True, False}


# -- Best responses ---------------------------------------------------------------------------------------


@every_schedule
def test_random_turns_are_uniform_over_agents_that_differ(schedule):
    game, games = without_end(schedule, max_episodes=30), 20_000
    state = start_at_random_turn(game, np.random.default_rng(4).random((games, 1 + game.n_uniforms)))
    counts = np.bincount(state.episode, minlength=game.stationary_from + 1)
    assert len(counts) == game.stationary_from + 1
    share = 1 / (game.stationary_from + 1)
    assert (np.abs(counts / games - share) <= 5 * np.sqrt(share * (1 - share) / games)).all()
    for agent in range(game.stationary_from + 1):
        future = (state.extra.episodes - state.episode)[state.episode == agent]
        assert future.min() == 1
        for k in (1, 2, 5):
            expected = game.discount**k
            error = np.sqrt(expected * (1 - expected) / len(future))
            assert abs((future > k).mean() - expected) <= 5 * error


@pytest.mark.parametrize("ends", [True, False])
def test_the_reward_of_a_best_response_is_minus_the_cost_of_the_rest_of_the_game(ends):
    game = without_end(ends=ends)
    successors = np.linspace(-0.5, 1, game.episodes)
    problem = BestResponse(game, successors)
    chance = np.random.default_rng(5).random((40, problem.n_uniforms))
    state, action = problem.begin(chance), actions(game, 40)
    step = problem.step(state, action)
    assert step.terminated.all()
    for row in range(40):
        alone = start_at_random_turn(game, chance[row : row + 1])
        goal, first = alone.goal[0], int(alone.episode[0])
        chosen, cost, scale = action[row : row + 1], 0.0, 0.0
        while not np.logical_or(*game.over(alone)).any():
            elapsed = int(alone.episode[0]) - first
            weight = 1.0 if ends else game.discount**elapsed
            alone, outcome = game.play(alone, chosen)
            cost += weight * (outcome.output[0] - goal) ** 2
            scale += weight * goal**2
            chosen = successors[alone.episode.clip(max=game.episodes - 1)][:, None]
        assert step.reward[row] == pytest.approx(-cost, rel=1e-12)
        assert step.info["scale"][row] == pytest.approx(scale, rel=1e-12)


def test_mean_rewards_of_best_responses_are_the_discounted_ones():
    """The same seats, with and without chance in the length, agree on average."""
    game, games = without_end([1.0], max_episodes=60, initial_goal=0.8, regularization=0), 20_000
    rewards = {}
    for rules in (game, with_fixed_length(game)):
        problem = BestResponse(rules, np.full(rules.episodes, 0.3))
        chance = np.random.default_rng(6).random((games, problem.n_uniforms))
        rewards[rules.ends] = problem.step(problem.begin(chance), np.full((games, 1), 0.3)).reward
    error = rewards[True].std() / np.sqrt(games)
    assert np.ptp(rewards[False]) == 0
    assert 0 < error < 0.05 * abs(rewards[False][0])
    assert abs(rewards[True].mean() - rewards[False][0]) < 5 * error


# -- Parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"discount": 1}, "discount must be below 1 .*; got 1$"),
        ({"discount": np.array(1.0)}, r"discount must be below 1 .*; got array\(1\.\)$"),
        ({"discount": np.nextafter(np.longdouble(1), 0)}, r"below 1 in double precision .*; got .*0\.99999"),
        ({"discount": 1.5}, r"discount must be a finite number in \[0, 1\]; got 1.5"),
        ({"max_episodes": 0}, "max_episodes must be a whole number in 1…\\d+; got 0"),
        ({"max_episodes": 2.5}, r"max_episodes must be a whole number in 1…\d+; got 2\.5"),
        ({"max_episodes": True}, "max_episodes must be a whole number in 1…\\d+; got True"),
        ({"max_episodes": 3}, "max_episodes must allow the schedule's 4 episodes; got 3$"),
        ({"ends": "yes"}, "ends must be True or False; got 'yes'"),
        ({"ends": 1}, "ends must be True or False; got 1"),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(parameters, message):
    with pytest.raises(ValueError, match=message) as refusal:
        without_end(**parameters)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_are_equal_and_as_immutable(copied):
    game = without_end(ends=False)
    other = copied(game)
    assert other == game
    assert hash(other) == hash(game)
    assert (other.max_episodes, other.ends) == (9, False)
    assert not other.learning_rates.flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.max_episodes = 10


def test_games_are_equal_where_all_parameters_are():
    assert without_end([1.0], max_episodes=4) == without_end([1.0, 1, 1, 1], max_episodes=4)
    others = [without_end(max_episodes=10), without_end(ends=False), without_end(discount=0.7)]
    assert all(other != without_end() for other in others)
    game = without_end()
    assert game != Game(game.learning_rates, 0.8, 0.1, initial_goal=(-1, 1))
    assert with_fixed_length(game) == without_end(ends=False)
    assert with_fixed_length(with_fixed_length(game)) == with_fixed_length(game)
