"""Goal training: its equations by hand, its limits, and what it refuses."""

import copy
import itertools
import pickle
import re
from dataclasses import dataclass, replace

import array_api_compat.torch
import gymnasium
import jax
import numpy as np
import pettingzoo
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from agents.benchmark.world_speed import enumerate_plans
from mesa_env import Game, GoalTraining
from mesa_env.agent import Profile
from mesa_env.rules.parameters import build_game, describe_game
from mesa_env.rules.rules import State
from mesa_env.worlds import CookieElimination, CrumbVacuuming, TableSetting, TableWiping, World, plan

SMALL = GoalTraining(
    "TableWiping",
    [0.3, 0.1, 0.0, 0.2, 0.0],
    diversity=0.5,
    pursuits=(0.0, 0.4, 1.0),
    discount=0.9,
    regularization=0.05,
    prior=(1.0, -0.5),
    temperature=1.5,
)


@dataclass(frozen=True)
class Numbers(World):
    """The world of the base game: one action for each number y, features y and −y²/2."""

    reach: float = 0.06
    count: int = 121

    horizon = 1
    features = ("y", "−y²/2")

    @property
    def actions(self):
        return tuple(map(str, np.linspace(-self.reach, self.reach, self.count).tolist()))

    def start(self):
        return 0.0

    def step(self, state, action):
        return float(action)

    def outcome(self, state):
        return (state, -state * state / 2), -state * state / 2


def play_by_hand(game, goal, pursuits, worlds, rows):
    """The equations over plain lists of plans; returns goals, outputs, base returns, losses and costs J_n."""
    goals, outputs, returns, losses = [np.array(goal)], [], [], []
    for rate, c, world in zip(game.learning_rates, pursuits, worlds, strict=True):
        table, theta = rows[world], goals[-1]
        phi, r = table[:, :-1], table[:, -1]
        w = c * theta + (1 - c) * game.belief
        odds = np.exp((phi - phi.max(axis=0)) @ w / game.temperature)
        p = odds / odds.sum()
        mean, base = p @ phi, p @ r
        outputs.append(mean)
        returns.append(base)
        losses.append(r.max() - base + game.regularization / 2 * ((theta - game.prior) ** 2).sum())
        if game.update == "behavior":
            push = c * (p * (r - base)) @ (phi - mean) / game.temperature
        else:
            q = p if game.data == "on-policy" else np.full(len(r), 1 / len(r))
            away, miss = phi - q @ phi, r - q @ r
            push = (q * miss) @ away - (away.T * q) @ away @ theta
        moved = theta + rate * (push - game.regularization * (theta - game.prior))
        goals.append(np.clip(moved, -game.goal_bound, game.goal_bound))
    costs = [
        sum(
            game.discount ** (k - n) * ((rows[worlds[k]][:, :-1] @ goals[n]).max() - goals[n] @ outputs[k])
            for k in range(n, len(worlds))
        )
        for n in range(len(worlds))
    ]
    return goals, outputs, returns, losses, costs


@pytest.fixture(scope="module")
def wiping():
    return [enumerate_plans(TableWiping(deployed)) for deployed in (False, True)]


@pytest.mark.parametrize(
    ("update", "data"), [("behavior", "on-policy"), ("value", "on-policy"), ("value", "off-policy")]
)
def test_a_game_is_its_equations_over_single_plans(wiping, update, data):
    game = replace(SMALL, update=update, data=data)
    uniforms = np.array([[0.7, 0.2, 0.4]])  # training in the training, the deployed and the deployed world
    worlds, choices = [0, 1, 1, 1, 1], [2, 1, 0, 1, 2]
    state = game.start(uniforms, np.array([[0.5, 2.0]]))
    pursuits = [game.pursuits[i] for i in choices]
    goals, outputs, returns, losses, costs = play_by_hand(game, [0.5, 2.0], pursuits, worlds, wiping)
    played = []
    for n, choice in enumerate(choices):
        assert bool(game.is_deployed(state)[0]) == bool(worlds[n])
        np.testing.assert_allclose(game.observe(state)[0, :2], goals[n], rtol=1e-6)
        assert game.observe(state)[0, -1] == worlds[n]
        assert game.episode_from_observation(game.observe(state))[0] == n
        state, outcome = game.play(state, np.array([choice]))
        np.testing.assert_allclose(outcome.output[0], outputs[n], rtol=1e-12)
        np.testing.assert_allclose(outcome.next_goal[0], goals[n + 1], rtol=1e-12)
        np.testing.assert_allclose(outcome.base_loss, losses[n], rtol=1e-11)
        np.testing.assert_allclose(outcome.details["base_return"], returns[n], rtol=1e-11)
        assert outcome.details["pursuit"][0] == pursuits[n]
        assert outcome.training[0] == (game.learning_rates[n] > 0)
        played.append(outcome)
    details = {"deployed": np.array([[bool(world)] for world in worlds])}
    found = game.mesa_costs(np.array([o.goal for o in played]), np.array([o.output for o in played]), details)
    np.testing.assert_allclose(found[:, 0], costs, rtol=1e-12)
    for n, k in itertools.combinations_with_replacement(range(5), 2):
        term = game.mesa_cost(played[k].output, played[n].goal, k - n, played[k].details)
        best = (wiping[worlds[k]][:, :-1] @ goals[n]).max()
        assert term[0] == pytest.approx(game.discount ** (k - n) * (best - goals[n] @ outputs[k]))


@pytest.mark.parametrize("deployed", [False, True])
def test_behavior_follows_the_gradient_of_the_base_return_through_the_planner(deployed):
    rng, step = np.random.default_rng(0), 1e-5
    plans = SMALL.tables[deployed]
    for _ in range(20):
        goal, c = rng.uniform(-3, 3, 2), rng.uniform(0, 1)

        def base(theta, c=c):
            return plan(plans, c * theta + (1 - c) * SMALL.belief, SMALL.temperature).base

        push = SMALL.teach(goal, np.float64(c), np.array(deployed)).push
        slopes = [(base(goal + step * axis) - base(goal - step * axis)) / (2 * step) for axis in np.eye(2)]
        np.testing.assert_allclose(push, slopes, rtol=1e-6, atol=1e-8)


def test_values_descend_the_squared_error_of_labels():
    game, step = replace(SMALL, update="value", data="off-policy"), 1e-5
    plans = game.tables[1]
    weights = np.exp(plans.log_ways - plans.log_ways.max())
    weights /= weights.sum()

    def error(theta):
        miss = plans.base - plans.features @ theta
        return weights @ (miss - weights @ miss) ** 2 / 2

    for goal in np.random.default_rng(1).uniform(-3, 3, (10, 2)):
        push = game.teach(goal, np.float64(0.4), np.array(True)).push
        slopes = [(error(goal + step * axis) - error(goal - step * axis)) / (2 * step) for axis in np.eye(2)]
        np.testing.assert_allclose(push, np.negative(slopes), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pursuits", [(0.0, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0)])
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_the_base_game_is_a_limit(pursuits, discount):
    """Plans that are numbers, small goals (θ, 1), and a small temperature; J differs by noise alone."""
    small, temperature, rates = 0.01, 2e-6, [0.4, 0.3, 0.2, 0.0, 0.0]
    game = GoalTraining(
        Numbers(),
        np.multiply(rates, 2),
        pursuits=pursuits,
        discount=discount,
        belief=(0.0, 1.0),
        temperature=temperature,
        initial_goal=(small, 1.0),
        deployed_world=Numbers(),
    )
    base = Game(rates, discount, initial_goal=1.0)
    oracle, costs = mesa_env.oracle(game), {}
    for chosen in itertools.product(pursuits, repeat=3):
        profile = Profile(base, [*chosen, 1, 1])
        limit = mesa_env.rollout(base, profile, 1.0)
        found = mesa_env.rollout(game, Profile(game, [*chosen, 1, 1]), [small, 1.0])
        np.testing.assert_allclose(found.goals[:, 0] / small, limit.goals, rtol=2e-3)
        np.testing.assert_allclose(found.outputs[:, 0] / small, limit.outputs, rtol=2e-3, atol=1e-9)
        costs[chosen] = base.mesa_costs(limit.goals[:-1, None], limit.outputs[:, None])[:, 0]
    best = backward_induction(pursuits, costs)
    played = mesa_env.rollout(game, oracle, [small, 1.0])
    assert tuple(played.coefficients[:3]) == best


def backward_induction(pursuits, costs):
    """The path of three agents whose costs by what all choose are in a table."""

    def follow(prefix):
        if len(prefix) == 3:
            return prefix
        return min((follow((*prefix, c)) for c in pursuits), key=lambda path: costs[path][len(prefix)])

    return follow(())


@pytest.mark.parametrize(
    "world", [TableWiping(), CrumbVacuuming(), TableSetting(), CookieElimination(delusion=0.5)]
)
@pytest.mark.parametrize("update", ["behavior", "value"])
def test_a_batch_of_one_and_of_many_play_the_same_games_bit_for_bit(world, update):
    game = GoalTraining(
        world, [0.1, 0.2, 0.1, 0.0], 0.5, update=update, initial_goal=((-1, -1), (2, 2)), regularization=0.1
    )
    rng = np.random.default_rng(3)
    uniforms, actions = rng.random((600, game.n_uniforms)), rng.integers(0, 2, (4, 600))
    many, shown = game.start(uniforms), []
    for n in range(4):
        many, outcome = game.play(many, actions[n])
        shown.append(outcome)
    for row in (0, 17, 599):
        for shape in ((row,), (slice(row, row + 1),)):
            one = game.start(uniforms[shape])
            for n in range(4):
                one, outcome = game.play(one, actions[n][shape])
                for name, values in shown[n].info().items():
                    assert np.array_equal(outcome.info()[name], values[shape]), name


@pytest.mark.parametrize("update", ["behavior", "value"])
def test_the_same_games_on_numpy_pytorch_and_jax(update):
    game = replace(SMALL, update=update, initial_goal=((-1, -1), (2, 2)))
    rng = np.random.default_rng(5)
    uniforms, actions = rng.random((6, game.n_uniforms)), rng.integers(0, 3, (5, 6))

    def play_through(uniforms, actions):
        state, shown = game.start(uniforms), []
        first = game.preferences(state)
        for n in range(5):
            shown.append(game.observe(state))
            state, outcome = game.play(state, actions[n])
            shown += outcome.info().values()
            shown.append(game.mesa_cost(outcome.output, first, state.episode - 1, outcome.details))
            shown += game.over(state)
        return shown

    expected = play_through(uniforms, actions)
    tensors = play_through(torch.from_numpy(uniforms), torch.from_numpy(actions))
    with jax.enable_x64(True):
        compiled = jax.jit(play_through)(uniforms, actions)
        for one, other, third in zip(expected, tensors, compiled, strict=True):
            np.testing.assert_allclose(np.asarray(other), one, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(np.asarray(third), one, rtol=1e-11, atol=1e-11)
    assert array_api_compat.torch.is_tensor(tensors[0])


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_training_is_deployed_as_often_as_diversity_says(diversity, seed):
    game = replace(SMALL, diversity=diversity)
    uniforms = np.random.default_rng(seed).random((4000, game.n_uniforms))
    state = game.start(uniforms)
    turns = [State(np.full(4000, n), state.goal, state.extra) for n in range(game.episodes)]
    shares = [game.is_deployed(turn).mean() for turn in turns]
    assert shares[2] == shares[4] == 1
    tolerance = 5 * np.sqrt(diversity * (1 - diversity) / 4000) + 1e-12
    for n in (0, 1, 3):
        assert shares[n] == pytest.approx(diversity, abs=tolerance)
    assert game.stochastic == (0 < diversity < 1)


def test_goals_move_only_where_their_world_tells_features_apart():
    conserved = TableWiping().plans().conserved[0]
    for c in (0.0, 0.4, 1.0):
        game = GoalTraining("TableWiping", [0.3] * 4, pursuits=(c,))
        goals = mesa_env.rollout(game, Profile(game, [c] * 4), [0.3, 1.5]).goals
        np.testing.assert_allclose((goals - goals[0]) @ conserved, 0, atol=1e-12)
        assert c == 0 or not np.allclose(goals[-1], goals[0])


# -- Parameters -------------------------------------------------------------------------------------------


def test_worlds_have_many_forms():
    games = [GoalTraining(world) for world in ("TableWiping", TableWiping, TableWiping())]
    assert games[0] == games[1] == games[2] == build_game({"rules": "GoalTraining", "world": "TableWiping"})
    assert games[0].deployed_world == TableWiping(deployed=True)
    assert GoalTraining("TableWiping", deployed_world="CrumbVacuuming").deployed_world == CrumbVacuuming(True)
    assert GoalTraining("TableWiping", deployed_world=TableWiping()).deployed_world == TableWiping()
    deluded = GoalTraining({"world": "CookieElimination", "delusion": 0.5})
    assert deluded.world == CookieElimination(delusion=0.5)
    assert describe_game(deluded)["world"] == {
        "world": "CookieElimination",
        "deployed": False,
        "delusion": 0.5,
    }
    assert build_game(describe_game(deluded)) == deluded
    assert hash(games[0]) == hash(games[1])
    assert games[0] != deluded


def test_a_world_of_ones_own_has_no_plain_form():
    with pytest.raises(ValueError, match=r"a world must be one of TableWiping, .*; got Numbers"):
        describe_game(GoalTraining(Numbers(), deployed_world=Numbers()))


def test_a_world_of_ones_own_is_played_through_every_door_but_json():
    game = GoalTraining(Numbers(count=5), [0.1, 0.0], deployed_world=Numbers(count=5), belief=(0.0, 1.0))
    single = gymnasium.make("mesa_env/GoalTraining-v0", game=game)
    batch = gymnasium.make_vec("mesa_env/GoalTraining-v0", num_envs=2, game=game)
    best = gymnasium.make("mesa_env/BestResponse-v0", game=game, successors="equilibrium")
    for env in (single, batch, best):
        env.reset(seed=0)
        env.step(env.action_space.sample())
        assert env.spec.kwargs["game"] == game
        with pytest.raises(
            ValueError, match=r"JSON can hold a world of the kinds TableWiping, .*; got Numbers"
        ):
            env.spec.to_json()
    aec = pettingzoo.make("aec", "mesa_env/GoalTraining-v0", game=game)
    aec.reset(seed=0)
    aec.step(0)
    for again in (copy.deepcopy(game), pickle.loads(pickle.dumps(game))):
        assert again == game


class Bare(World):
    horizon, actions, features = 1, ("a",), ("x",)

    def start(self):
        return 0

    def step(self, state, action):
        return state

    def outcome(self, state):
        return (1.0,), 1.0


REFUSED = [
    ({"world": "TableWipin"}, "world must be one of TableWiping, .* (did you mean 'TableWiping'?)"),
    ({"world": 3}, "world must be a World, or one of TableWiping, .*; got 3"),
    ({"world": {"world": "TableWiping", "gap": 2}}, "TableWiping has no parameter 'gap'; it has deployed"),
    (
        {"world": {}},
        "a world's parameters must be a mapping from names, with its own name as 'world'; got {}",
    ),
    ({"world": {1: 2}}, "a world's parameters must be a mapping from names, with its own name as 'world'"),
    ({"world": TableWiping(deployed=True)}, "a world to train in must not be deployed; got TableWiping"),
    ({"world": Bare()}, "Bare does not say what it is once deployed: give it a field deployed, or"),
    ({"deployed_world": Bare()}, "must have as many features; got crumbs off the table, crumbs in the"),
    ({"diversity": 1.5}, "diversity must be a finite number in [0, 1]; got 1.5"),
    ({"diversity": float("nan")}, "diversity must be a finite number in [0, 1]; got nan"),
    ({"pursuits": ()}, "pursuits must be one to 1000 different numbers in [0, 1]; got ()"),
    ({"pursuits": (0, 1.1)}, "pursuits must be one to 1000 different numbers in [0, 1]; got (0, 1.1)"),
    ({"pursuits": (-0.1,)}, "pursuits must be one to 1000 different numbers in [0, 1]; got (-0.1,)"),
    ({"pursuits": (1, 1)}, "pursuits must be one to 1000 different numbers in [0, 1]; got (1, 1)"),
    ({"pursuits": 0.5}, "pursuits must be one to 1000 different numbers in [0, 1]; got 0.5"),
    ({"pursuits": (0, float("nan"))}, "pursuits must be one to 1000 different numbers in [0, 1]; got"),
    ({"update": "values"}, "update must be 'behavior' or 'value'; got 'values' (did you mean 'value'?)"),
    ({"data": "onpolicy"}, "data must be 'on-policy' or 'off-policy'; got 'onpolicy'"),
    ({"data": "off-policy"}, "only the value update learns from off-policy data; got update='behavior'"),
    ({"temperature": 0}, "temperature must be a finite number greater than 0"),
    ({"belief": (1, 2, 3)}, "belief must be finite numbers, one for each of 2 features; got (1, 2, 3)"),
    ({"prior": "high"}, "prior must be finite numbers, one for each of 2 features; got 'high'"),
    ({"goal_bound": 0}, "goal_bound must be finite numbers above 0, one for each of 2 features; got 0"),
    ({"initial_goal": 0.8}, "initial_goal must be finite numbers in ±[10, 10], one for each of 2 features"),
    ({"initial_goal": (0, 11)}, "initial_goal must be finite numbers in ±[10, 10], one for each of 2"),
    ({"initial_goal": ((1, 1), (0, 2))}, "initial_goal's pair must be in ascending order; got"),
    (
        {"learning_rates": [1e38], "goal_bound": 1e38, "temperature": 1e-280},
        "must stay finite; got a",
    ),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_parameters_that_mean_nothing_are_refused(parameters, message):
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises((ValueError, TypeError), match=pattern) as caught:
        GoalTraining(**parameters)
    assert "\n" not in str(caught.value)


def test_profiles_are_pursuits():
    with pytest.raises(ValueError, match=r"coefficients must be among the pursuits 0, 0\.4, 1; got 0\.5 for"):
        Profile(SMALL, [0, 0.4, 1, 0.5, 0])
    with pytest.raises(ValueError, match=r"coefficients must be 5 pursuits; got"):
        Profile(SMALL, [0, 1])
    actions, _ = Profile(SMALL, [0, 0.4, 1, 0.4, 0]).predict(SMALL.observe(SMALL.start(np.zeros((3, 3)))))
    assert actions.tolist() == [0, 0, 0]


def test_regret_without_its_world_is_refused():
    with pytest.raises(ValueError, match=r"regret needs the detail 'deployed', .*; got \[\]"):
        SMALL.mesa_costs(np.zeros((5, 1, 2)), np.zeros((5, 1, 2)))
