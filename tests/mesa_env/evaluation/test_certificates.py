"""Certificates of oracles against searches that know nothing of how they are found."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agents
import mesa_env
from mesa_env import (
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    train_then_deploy,
)
from mesa_env.evaluation import certified_oracle
from mesa_env.evaluation.certificates import TOLERANCE, certify
from mesa_env.problems import BestResponse
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.learnable_discount import Patience
from mesa_env.rules.misconception import Belief
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from tests.conftest import ONE_OF_EACH_KIND, every_kind

WORSE = {  # goals are projected on the path, or by a deviation from it
    "deviation": Game(
        np.where(np.arange(24) < 16, 44.308, 0), discount=0.216, coefficient_bound=10, goal_bound=1
    ),
    "path": Game(np.ones(8), regularization=1.5),
    "endless": InfiniteHorizon(regularization=30.0, ends=False),
    "endless by chance": InfiniteHorizon(regularization=30.0),
    "hidden": HiddenDeployment(regularization=1.5),
    "hidden, signals": HiddenDeployment(train_then_deploy(12, 0), regularization=1.5, observed="signal"),
    "local": Decoupling(np.ones(30), regularization=1.5, decoupling=0.1),
}


def oracle_of(game):
    """The oracle, and the warnings that came with it."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        oracle = mesa_env.oracle(game, uncertified=True)
    messages = [str(warning.message) for warning in raised]
    return oracle, [message for message in messages if "takes about" not in message]


@every_kind
def test_every_oracle_carries_a_certificate(name):
    oracle, raised = oracle_of(ONE_OF_EACH_KIND[name])
    assert 0 <= oracle.certificate.gain < 1e-5
    assert not raised


@pytest.mark.parametrize("name", WORSE)
def test_every_oracle_warns_in_the_same_words_with_the_number(name):
    game = WORSE[name]
    oracle, raised = oracle_of(game)
    gain, episode, goal = oracle.certificate
    assert gain > TOLERANCE
    assert raised == [
        f"the oracle of this {type(game).__name__} is not its equilibrium: on its path from θ_0 = {goal:g}, "
        f"agent {episode} could gain {gain:.2%} of the cost of emitting 0 forever by leaving it"
    ]


def test_a_range_of_goals_is_certified_at_its_ends_and_in_its_middle():
    game = Game([3.0, 3.0, 0.0], coefficient_bound=3, goal_bound=1, initial_goal=(-0.9, 0.1))
    oracle, _ = oracle_of(game)
    by_goal = {}
    for goal in (-0.9, -0.4, 0.1):
        parameters = game.learning_rates, 1.0, 0.0, 3, 1, goal
        by_goal[goal] = mesa_env.relative_exploitability(Game(*parameters), oracle.coefficients).max()
    assert oracle.certificate.gain == max(by_goal.values())
    assert oracle.certificate.initial_goal == pytest.approx(max(by_goal, key=by_goal.get))


# The worst of these starts lies between those that policies on cells are fitted to.
BETWEEN = Misconception(
    train_then_deploy(3, 3, 5.0), 0.95, 0.5, initial_belief=(-1.0, 2.0), belief_learning_rate=1.0
)


def test_starts_that_no_oracle_is_fitted_to_are_certified_too(monkeypatch):
    monkeypatch.setattr(certified_oracle, "_CELLS", (100,))
    monkeypatch.setattr(certified_oracle, "_SIZED_CELLS", ())
    oracle, raised = oracle_of(BETWEEN)
    assert oracle.certificate.gain > 1
    assert f"could gain {oracle.certificate.gain:.2%} of" in raised[-1]
    with pytest.raises(ValueError, match=f"leaves agent . {oracle.certificate.gain:.2%} on its path"):
        mesa_env.oracle(BETWEEN)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* this game takes about")
def test_where_tables_are_too_coarse_for_some_starts_finer_ones_are_taken():
    game = LearnableDiscount(initial_goal=(-1.0, 1.0))
    assert certify(game, ForeseeingPlanner(game)).gain > 5 * TOLERANCE
    assert mesa_env.oracle(game).certificate.gain < TOLERANCE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* this game takes about")
def test_a_range_of_discounts_is_refused():
    """docs/limits.md says so."""
    with pytest.raises(ValueError, match="the best responses of this LearnableDiscount jump"):
        mesa_env.oracle(LearnableDiscount(discount=(0.5, 1.0)))


def test_agents_that_are_no_oracles_have_no_certificate():
    assert mesa_env.agent.Profile(Game([1.0]), [0.5]).certificate is None


def test_there_is_one_warning_where_the_solver_has_its_own():
    game = WORSE["path"]
    assert len(oracle_of(game)[1]) == 1
    with pytest.warns(UserWarning, match=re.escape("the goal leaves ±10 on this solution's path")):
        mesa_env.solve_equilibrium(game)
    with pytest.warns(UserWarning, match=re.escape("the goal leaves ±10 on this solution's path")):
        mesa_env.grid_search(game)


@pytest.mark.parametrize(
    "game",
    [
        WORSE["path"],
        WORSE["deviation"],
        Game(coefficient_bound=50.0),  # where 401 coefficients are too few
    ],
    ids=["path", "deviation", "coarse"],
)
def test_the_grid_warns_in_the_words_of_every_oracle(game):
    with pytest.warns(UserWarning, match="^the oracle of this Game") as raised:
        agent = agents.make("grid", game)
    gain, episode, goal = agent.certificate
    assert gain > TOLERANCE
    assert [str(warning.message) for warning in raised] == [
        f"the oracle of this Game is not its equilibrium: on its path from θ_0 = {goal:g}, agent {episode} "
        f"could gain {gain:.2%} of the cost of emitting 0 forever by leaving it"
    ]


@pytest.mark.parametrize("game", [Game(), Game(np.ones(100)), Game(train_then_deploy(20, 80, 50.0))])
def test_where_nothing_is_projected_the_grid_is_near_enough_to_the_equilibrium(game):
    assert 0 < agents.make("grid", game).certificate.gain < 1e-4  # warnings are errors


# -- Brute force -------------------------------------------------------------------------------------------


def random_search(game, agent, rng, tried=1500):
    """The most that random deviations gain on the path, as a share of the cost of silence.

    It knows the rules and the agent alone: every deviation is played to the end of the game.
    """
    game = with_fixed_length(game)
    played = mesa_env.rollout(game, agent, game.initial_goal)
    bound, most = game.coefficient_bound, 0.0
    for n in range(game.episodes):
        own = played.coefficients[n]
        offers = np.concatenate(
            [[own], rng.uniform(-bound, bound, tried), own + 0.05 * bound * rng.standard_normal(tried // 3)]
        ).clip(-bound, bound)
        size = len(offers)
        state = game.start(np.zeros((size, game.n_uniforms)), np.full(size, played.goals[n]))
        extra = state.extra
        if isinstance(game, Misconception):
            extra = Belief(np.full(size, played.details["belief"][n]))
        elif isinstance(game, LearnableDiscount):
            extra = Patience(np.full(size, played.details["discount"][n]))
        state = state._replace(episode=np.full(size, n), extra=extra)
        step = BestResponse(game, agent).step(state, offers.astype(np.float32)[:, None])
        relative = step.reward / step.info["scale"]
        most = max(most, float(relative.max() - relative[0]))
    return most


@st.composite
def unruly_games(draw):
    """Games whose best responses jump, or whose goals are projected."""
    kind = draw(st.sampled_from([Misconception, LearnableDiscount, Game]))
    rate, train = draw(st.sampled_from([0.3, 1.0, 3.0])), draw(st.integers(1, 4))
    parameters = {
        "learning_rates": train_then_deploy(train, draw(st.integers(0, 6)), rate),
        "discount": draw(st.sampled_from([0.4, 0.8, 0.95])),
        "regularization": draw(st.sampled_from([0.0, 0.25, 1.0])),
        "goal_bound": draw(st.sampled_from([1.0, 10.0])),
        "initial_goal": draw(st.sampled_from([-0.7, 0.8])),
    }
    if kind is Misconception:
        parameters["belief_learning_rate"] = draw(st.sampled_from([0.3, 1.0, 5.0]))
    elif kind is LearnableDiscount:
        parameters["discount_learning_rate"] = draw(st.sampled_from([0.3, 1.0, 5.0]))
    return kind(**parameters)


@settings(max_examples=25)
@given(unruly_games(), st.integers(0, 10**6))
def test_no_random_search_gains_much_more_than_the_certificate(game, seed):
    oracle, _ = oracle_of(game)
    found = random_search(game, oracle, np.random.default_rng(seed))
    assert found <= oracle.certificate.gain * 1.05 + 0.1 * TOLERANCE
