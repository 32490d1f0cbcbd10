"""What no array of real numbers holds is refused, and numbers are compared with bounds as real numbers."""

import datetime
import decimal

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium.error import Error, ResetNeeded
from gymnasium.wrappers import RescaleAction

import mesa_env
from mesa_env import validation
from mesa_env.evaluation.audits import audit_infinite_horizon
from mesa_env.evaluation.certificates import certify
from mesa_env.rules.infinite_horizon import with_fixed_length
from tests.conftest import ONE_OF_EACH_KIND, every_kind, every_scalar_kind

INTEGERS = [np.int8, np.int16, np.int32, np.int64]
LOSING = {
    "masked": np.ma.masked,
    "complex": 1j,
    "tensor that requires grad": torch.tensor(0.5, requires_grad=True),
    "huge": 10**400,
    "too long to be written": 10**5000,
    "beyond double precision": np.longdouble("1e4000"),
    "duration": np.timedelta64(1, "s"),
    "Python's duration": datetime.timedelta(1),
    "decimal": decimal.Decimal("0.5"),
    "text": "0.5",
    "flag": True,
    "nothing": None,
}
NO_NUMBER = pytest.mark.parametrize("value", LOSING.values(), ids=LOSING)
ONE_SENTENCE = r"^(?!.*(Error|__|iterable|convert|inhomogeneous))[^\n]{10,300}$"


# -- Conversion -------------------------------------------------------------------------------------------


@NO_NUMBER
def test_what_loses_something_as_a_number_is_no_number(value):
    numbers = validation.numbers_of(value)
    assert numbers is None or not np.isfinite(numbers).any()
    with pytest.raises(ValueError, match=ONE_SENTENCE):
        validation.validate_number("x", value)


@pytest.mark.parametrize(
    "value",
    [
        [[0.5], [0.5, 0.5]],
        [np.ma.masked, 0.5],
        [np.ma.array([0.5], mask=[True])],
        np.ma.array([0.5, 1.0], mask=[False, True]),
        np.array(["a", "b"]),
        np.array([1, None], dtype=object),
        np.zeros(2, dtype=[("a", float)]),
        [10**400, 1],
        [torch.tensor(0.5), 1j],
        [True, 0.5],
        (1, np.True_),
        [torch.tensor([True]), [0.5]],
        np.array([True, 0.5], dtype=object),
    ],
    ids=repr,
)
def test_what_loses_something_as_an_array_is_no_array_of_numbers(value):
    assert validation.numbers_of(value) is None


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        (2**70, 2.0**70),
        ([2**70, 1], [2.0**70, 1.0]),
        (np.int8(-128), -128.0),
        (np.uint64(2**63), 2.0**63),
        (np.ma.array([0.5, 1.0], mask=False), [0.5, 1.0]),
        (torch.tensor([0.5]), [0.5]),
        (range(3), [0.0, 1.0, 2.0]),
        (np.float16(0.5), 0.5),
        (memoryview(np.array([[0.5], [1.0]])), [[0.5], [1.0]]),
        (pd.Series([1, 0], dtype="Int64"), [1.0, 0.0]),
        (np.array([0.5, 1.0], dtype=">f4")[::-1], [1.0, 0.5]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_real_number_is_one(value, numbers):
    np.testing.assert_array_equal(validation.numbers_of(value), numbers)


class Endless:
    """A sequence that never ends, whatever its length says."""

    def __init__(self, entry):
        self.entry = entry

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.entry


def within_itself():
    """A list that NumPy would follow through 64 axes."""
    entries = []
    entries.extend([entries] * 3)
    return entries


@pytest.mark.parametrize(
    "value",
    [
        within_itself(),
        Endless(0.5),
        Endless(Endless(0.5)),
        range(10**12),
        range(2**70),
        [range(10**12)],
        np.broadcast_to(0.5, 10**12),
        np.broadcast_to(np.int8(0), (10**12, 1)),
        np.broadcast_to(np.float32(0.5), (10**10, 4)),
    ],
    ids=["within itself", "endless", "endless twice", "range", "longer range", "range in list", *"abc"],
)
def test_what_takes_too_much_memory_or_time_is_refused_at_once(value):
    game = mesa_env.Game([1.0, 0.0])
    env = mesa_env.raw_env(game=game)
    env.reset(seed=0)
    calls = [
        mesa_env.Game,
        lambda value: mesa_env.Game(initial_goal=value),
        env.step,
        mesa_env.solve_equilibria,
    ]
    calls += [lambda value: mesa_env.exploitability(game, value), mesa_env.oracle(game).predict]
    calls += [lambda value: env.reset(options={"initial_goal": value})]
    calls += [lambda value: mesa_env.rollout(game, mesa_env.oracle(game), value)]
    for call in calls:
        with pytest.raises(ValueError, match=r"must (be|have) .*; got [^\n]{1,120}$"):
            call(value)


def test_whatever_is_shown_fits_in_a_line():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    for value in (10**5000, "a\nb", np.zeros((30, 30)), ["x" * 999], Silent(), Silent, within_itself()):
        text = validation.show(value)
        assert "\n" not in text
        assert 0 < len(text) <= 100
    assert validation.show([1, "a"]) == "[1, 'a']"


# -- Bounds -----------------------------------------------------------------------------------------------


@every_scalar_kind
@pytest.mark.parametrize("kind", INTEGERS)
def test_the_least_integer_of_a_type_is_beyond_every_bound(name, kind):
    """Its absolute value is itself: −128 in np.int8."""
    game, least = ONE_OF_EACH_KIND[name], np.iinfo(kind).min
    parts = len(game.action_bound)
    raw, single = mesa_env.raw_env(game=game), gymnasium.make(f"mesa_env/{name}-v0", game=game).unwrapped
    batch = gymnasium.make_vec(f"mesa_env/{name}-v0", num_envs=2, game=game)
    for env, shape in ((raw, (parts,)), (single, (parts,)), (batch, (2, parts))):
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"must be finite numbers in \[-2, 2\]"):
            env.step(np.full(shape, least, kind))
        with pytest.raises(ValueError, match="initial_goal must be"):
            env.reset(options={"initial_goal": np.array(least, kind)})
    with pytest.raises(ValueError, match="initial_goal must be"):
        mesa_env.rollout(game, mesa_env.agent.Profile(game, np.zeros(game.episodes)), np.array(least, kind))
    with pytest.raises(ValueError, match="coefficients must be"):
        mesa_env.agent.Profile(game, np.full(game.episodes, least, kind))


@pytest.mark.parametrize("seed", range(60))
def test_rescaled_actions_reach_the_bound_whatever_it_is(seed):
    bound = 1.1 if seed == 0 else float(10 ** np.random.default_rng(seed).uniform(-3, 3))
    game = mesa_env.Game([1.0, 0.0], coefficient_bound=bound, initial_goal=1.0)
    made = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=game)
    for low, high in ((-1.0, 1.0), (0.0, 10.0), (-3.0, 7.0)):
        env = RescaleAction(made, np.float32(low), np.float32(high))
        for end, sign in ((low, -1), (high, 1)):
            env.reset(seed=0)
            _, _, _, _, info = env.step(np.array([end], np.float32))
            assert abs(info["output"]) <= max(bound, float(np.float32(bound)))
            assert info["output"] == pytest.approx(sign * bound, rel=1e-6)


@every_scalar_kind
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_actions_a_few_steps_outside_are_brought_back_and_others_refused(name, kind):
    game = ONE_OF_EACH_KIND[name]
    bound = game.action_bound.astype(kind)
    beyond = bound
    for _ in range(3):
        beyond = np.nextafter(beyond.astype(np.float32), np.float32(np.inf))
    for sign in (-1, 1):
        brought = game.validate_actions(sign * beyond.astype(kind), ())
        np.testing.assert_array_equal(brought, sign * np.maximum(bound, game.action_bound.astype(np.float32)))
        assert brought.dtype == kind
        with pytest.raises(ValueError, match="must be finite numbers in"):
            game.validate_actions(sign * bound * kind(1 + 4e-6), ())


def test_profiles_goals_and_successors_a_step_outside_are_brought_back():
    game = mesa_env.Game([1.0, 0.5, 0.0], coefficient_bound=1.1, goal_bound=0.1, initial_goal=0.1)
    bound = np.nextafter(np.float32(1.1), np.float32(2))
    exact = mesa_env.exploitability(game, np.full(3, np.float32(1.1), dtype=np.float64))
    np.testing.assert_array_equal(mesa_env.exploitability(game, np.full(3, bound)), exact)
    played = mesa_env.rollout(game, mesa_env.oracle(game), np.float32(0.1))
    assert played.goals[0] == 0.1
    env = gymnasium.make("mesa_env/BestResponse-v0", game=game, successors=np.full(3, bound))
    observation, _ = env.reset(options={"initial_goal": np.float32(0.1)})
    assert env.observation_space.contains(observation)
    with pytest.raises(ValueError, match="coefficients must be finite numbers"):
        mesa_env.exploitability(game, np.full(3, 1.1 * (1 + 4e-6)))


# -- Doors ------------------------------------------------------------------------------------------------


@NO_NUMBER
@pytest.mark.parametrize("parameter", ["regularization", "discount", "coefficient_bound", "initial_goal"])
def test_no_parameter_loses_a_part_of_what_is_given(parameter, value):
    with pytest.raises(ValueError, match=f"^{parameter} must [^\n]*; got "):
        mesa_env.Game(**{parameter: value})


@pytest.mark.parametrize("rates", [[1e39, 0], [1e308], np.array([1.0, np.finfo(np.float64).max])], ids=repr)
def test_learning_rates_that_would_be_observed_as_infinite_are_refused(rates):
    for kind in mesa_env.GAMES.values():
        with pytest.raises(ValueError, match=r"learning_rates must .* at most 1e\+38; got"):
            kind(learning_rates=rates)
    with pytest.raises(ValueError, match=r"in \[0, 1e\+38\]; got"):
        mesa_env.train_then_deploy(learning_rate=max(rates))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint64])
def test_small_integers_make_schedules_of_any_length(kind):
    """Their sum, 200, is beyond np.int8, and ten million beyond most."""
    schedule = mesa_env.train_then_deploy(kind(100), kind(100))
    np.testing.assert_array_equal(schedule, mesa_env.train_then_deploy(100, 100))


@pytest.mark.parametrize(
    "pair",
    [np.float32([-1, 1]), torch.tensor([-1.0, 1.0]), pd.Series([-1, 1]), memoryview(np.array([-1.0, 1.0]))],
)
def test_a_pair_may_come_in_any_container(pair):
    assert mesa_env.Game(initial_goal=pair).initial_goal == (-1.0, 1.0)
    assert mesa_env.Misconception(initial_belief=pair).initial_belief == (-1.0, 1.0)


@pytest.mark.parametrize("pair", [{-1.0, 1.0}, (-1, True), [[-1, 1]], iter([-1, 1]), (-1, 11), (0, np.nan)])
def test_what_is_no_pair_is_told_what_one_is(pair):
    with pytest.raises(
        ValueError, match=r"must be a finite number in \[-10, 10\] or a \(low, high\) pair of them"
    ):
        mesa_env.Game(initial_goal=pair)


def test_base_losses_beyond_floating_point_are_refused():
    with pytest.raises(ValueError, match="base loss must stay finite; got regularization"):
        mesa_env.Game([0.0], regularization=1e300, goal_bound=1e30)


@pytest.mark.parametrize(
    "profile",
    [[1j, 0, 0], np.ma.array([1, 1, 1.0], mask=[0, 1, 0]), [[1], [1, 2], 1], [10**400, 0, 0], [True] * 3],
    ids=repr,
)
def test_profiles_lose_nothing(profile):
    game = mesa_env.Game([1.0, 1.0, 0.0])
    for function in (mesa_env.exploitability, mesa_env.nash_conv, mesa_env.best_responses):
        with pytest.raises(ValueError, match=r"coefficients must be 3 numbers; got [^\n]+$"):
            function(game, profile)


@pytest.mark.parametrize("episode", [np.timedelta64(1, "s"), np.timedelta64(9, "D"), True, 1.0, 10**400, "1"])
def test_an_episode_is_a_whole_number_of_the_game(episode):
    with pytest.raises(ValueError, match="episode must be one of 0…2; got"):
        mesa_env.best_response(mesa_env.Game([1, 0, 0]), [1, 1, 1], episode)


@pytest.mark.parametrize("game", [None, 5, "DeceptiveAlignment", mesa_env.Game, {}], ids=repr)
def test_functions_of_games_refuse_what_is_none(game):
    calls = [mesa_env.solve_equilibrium, mesa_env.grid_search, lambda g: mesa_env.nash_conv(g, [1])]
    calls += [lambda g: mesa_env.rollout(g, mesa_env.oracle(mesa_env.Game()), 0.5)]
    calls += [lambda g: mesa_env.compare(g, {}, 0.5), lambda g: mesa_env.best_response(g, [1], 0)]
    for call in calls:
        with pytest.raises(TypeError, match=r"game must be a game of type \w+ .*; got"):
            call(game)


@pytest.mark.parametrize("options", [5, [], "initial_goal", 0, {"initial_goal"}], ids=repr)
@every_kind
def test_options_are_a_mapping(name, options):
    game = ONE_OF_EACH_KIND[name]
    envs = [mesa_env.raw_env(game=game), gymnasium.make(f"mesa_env/{name}-v0", game=game).unwrapped]
    for env in (*envs, gymnasium.make_vec(f"mesa_env/{name}-v0", num_envs=2, game=game)):
        with pytest.raises(ValueError, match="options must be a dict or None; got"):
            env.reset(options=options)


@pytest.mark.parametrize("seeds", [np.array([3, 5]), np.array([3, 5], np.uint8), (3, np.int64(5))], ids=repr)
def test_seeds_of_a_batch_may_come_in_any_sequence(seeds):
    game = mesa_env.Game([1.0, 0.0], initial_goal=(-1, 1))
    batch = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=2, game=game)
    np.testing.assert_array_equal(batch.reset(seed=seeds)[0], batch.reset(seed=[3, 5])[0])


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8])
def test_a_seed_of_any_integer_type_seeds_a_batch_alike(kind):
    batch = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=2)
    batch.reset(seed=kind(4))
    assert batch.np_random_seed == 4


@pytest.mark.parametrize("seed", [True, 0.5, -1, np.timedelta64(1), "1", 1j, np.array([1])], ids=repr)
def test_seeds_are_whole_numbers_to_python_and_to_gymnasium(seed):
    identifier = "mesa_env/DeceptiveAlignment-v0"
    envs = [mesa_env.raw_env(), gymnasium.make(identifier), gymnasium.make_vec(identifier, num_envs=2)]
    for env in envs:
        for error in (ValueError, Error):
            with pytest.raises(error, match=r"(?i)seed must be a whole number ≥ 0"):
                env.reset(seed=seed)


@every_kind
@pytest.mark.parametrize("build", [mesa_env.raw_env, mesa_env.env])
def test_nothing_is_left_to_look_at_after_the_end(name, build):
    game = ONE_OF_EACH_KIND[name]
    env = build(game=game)
    env.reset(seed=0)
    for seat in env.agent_iter():
        over = env.terminations[seat] or env.truncations[seat]
        env.step(None if over else env.action_space(seat).sample())
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first, and again after every end"):
        env.last()
    env.reset(seed=0)
    assert env.last()[0] is not None


@pytest.mark.parametrize("flags", [np.nan, [0.5], [2], [np.nan], "1", [None], [[True]]], ids=repr)
def test_starts_of_episodes_are_flags(flags):
    game = mesa_env.Game([1.0, 0.0])
    shown = game.observe(game.start(np.zeros((1, 0))))
    for legal in (True, [False], np.array([1]), [0.0], None):
        mesa_env.oracle(game).predict(shown, None, legal)
    with pytest.raises(ValueError, match="episode_start must be 1 flags or None; got"):
        mesa_env.oracle(game).predict(shown, None, flags)


def test_agents_that_answer_nonsense_are_told_so():
    class Mute:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return None

    game = mesa_env.Game([1.0, 0.0])
    env = gymnasium.make("mesa_env/BestResponse-v0", game=game, successors=Mute())
    env.reset(seed=0, options={"initial_goal": 0.5})
    with pytest.raises(TypeError, match=r"predict must return \(actions, state\); got None"):
        mesa_env.rollout(game, Mute(), 0.5)
    with pytest.raises(TypeError, match="an agent must have predict"):
        mesa_env.audit(game, 3, mesa_env.rollout(game, mesa_env.oracle(game), 0.5))


@pytest.mark.parametrize(
    ("column", "value"), [(0, np.nan), (0, np.inf), (0, 11.0), (2, 1.5), (2, -0.5), (3, np.nan), (1, -1.0)]
)
def test_observations_lie_where_the_game_shows_them(column, value):
    game = mesa_env.Game([1.0, 0.0])
    shown = game.observe(game.start(np.zeros((2, 0))))
    shown[1, column] = value
    with pytest.raises(ValueError, match=rf"observation must be .*in column {column} .*; got"):
        mesa_env.oracle(game).predict(shown)


def test_games_that_take_too_much_are_refused_before_they_take_it():
    with pytest.raises(ValueError, match="at most 100000; got 100001"):
        mesa_env.raw_env(game=mesa_env.Game(np.zeros(100_001)))
    with pytest.raises(ValueError, match=r"num_envs must be a whole number in 1…\d+; got 2147483648"):
        gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=2**31)
    for arguments in ({"train": 10**12}, {"deploy": 10**12}, {"train": 10**7, "deploy": 1}):
        with pytest.raises(ValueError, match=r"must be a whole number in \d…\d+; got"):
            mesa_env.train_then_deploy(**arguments)
    with pytest.raises(
        ValueError, match="max_episodes must be a whole number in 1…10000000; got 1000000000000"
    ):
        mesa_env.InfiniteHorizon(max_episodes=10**12)
    with pytest.raises(ValueError, match="at most 20000 episodes"):
        mesa_env.LearnableDiscount(np.zeros(20_001))
    game = with_fixed_length(mesa_env.InfiniteHorizon(discount=1 - 1e-9, max_episodes=30))
    with pytest.raises(ValueError, match="for at most 10000000 episodes; got discount"):
        audit_infinite_horizon(game, np.ones((1, 30)), np.full((1, 31), 0.8))


# -- Flags ------------------------------------------------------------------------------------------------

NO_FLAG = pytest.mark.parametrize("value", ["no", 0, 1, None, np.array([True]), [], "False"], ids=repr)


@NO_FLAG
def test_flags_are_true_or_false_wherever_the_library_takes_one(value):
    game = mesa_env.Game([1.0, 0.0])
    agent = mesa_env.oracle(game)
    env = mesa_env.env(game)
    env.reset(seed=0)
    row = env.last(np.bool_(True))[0]
    calls = {
        "deterministic": [
            lambda: mesa_env.rollout(game, agent, 0.5, deterministic=value),
            lambda: agent.predict(row, deterministic=value),
        ],
        "observe": [lambda: env.last(observe=value), lambda: env.unwrapped.last(observe=value)],
        "dense": [lambda: certify(game, agent, dense=value)],
        "ends": [lambda: mesa_env.InfiniteHorizon(ends=value)],
    }
    for name, refused in calls.items():
        for call in refused:
            with pytest.raises(ValueError, match=f"^{name} must be True or False; got "):
                call()


@pytest.mark.parametrize("value", [False, np.True_], ids=repr)
def test_flags_of_numpy_are_flags(value):
    game = mesa_env.Game([1.0, 0.0])
    agent = mesa_env.oracle(game)
    played = mesa_env.rollout(game, agent, 0.5, deterministic=value)
    np.testing.assert_array_equal(played.coefficients, agent.coefficients.astype(np.float32))
