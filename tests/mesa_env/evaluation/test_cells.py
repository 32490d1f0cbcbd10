"""Oracles on cells, where best responses jump: what they weigh is the game, and their path is certified."""

import dataclasses
import warnings

import numpy as np
import pytest

import mesa_env
from mesa_env import LearnableDiscount, Misconception, train_then_deploy
from mesa_env.evaluation import certified_oracle
from mesa_env.evaluation.cell_oracle import CellOracle
from mesa_env.evaluation.certificates import TOLERANCE, certify
from mesa_env.evaluation.discount_cells import DiscountCells
from mesa_env.evaluation.misconception_cells import MisconceptionCells, can_reach_bound
from mesa_env.problems import BestResponse
from mesa_env.rules.learnable_discount import Patience
from mesa_env.rules.misconception import Belief
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import MisconceptionOracle
from tests.mesa_env.evaluation.test_certificates import oracle_of, random_search

SHARED = Misconception(train_then_deploy(3, 13, 1.0), regularization=0.5)
WORSE = Misconception(
    train_then_deploy(4, 19, 2.0), discount=0.6, regularization=0.5, belief_learning_rate=3.0
)
PATIENT = LearnableDiscount(train_then_deploy(4, 14, 2.0), discount=0.9, regularization=0.3)
JUMPING = {"misconception": SHARED, "learnable discount": PATIENT}
TABLES = {Misconception: MisconceptionOracle, LearnableDiscount: ForeseeingPlanner}
KINDS = {Misconception: MisconceptionCells, LearnableDiscount: DiscountCells}


@pytest.mark.parametrize("name", JUMPING)
def test_cells_certify_games_whose_tables_do_not_converge(name):
    """The certificate is compared with random deviations that are played by the rules."""
    game = JUMPING[name]
    assert certify(game, TABLES[type(game)](game)).gain > 5 * TOLERANCE
    oracle, raised = oracle_of(game)
    assert isinstance(oracle, CellOracle)
    assert oracle.certificate.gain < 0.005
    assert (len(raised) == 1) == (oracle.certificate.gain > TOLERANCE)
    found = random_search(game, oracle, np.random.default_rng(3), tried=4_000)
    assert found <= oracle.certificate.gain + 0.5 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "game",
    [
        Misconception(train_then_deploy(5, 10, 3.0), discount=0.95, regularization=0.25),
        LearnableDiscount(
            train_then_deploy(7, 8, 1.0), discount=0.6, regularization=0.3, discount_learning_rate=5.0
        ),
    ],
    ids=["misconception", "learnable discount"],
)
def test_games_that_left_much_to_gain_are_certified_to_half_a_percent(monkeypatch, game):
    monkeypatch.setattr(certified_oracle, "_CELLS", (180,))  # among those that are tried, and enough
    oracle, _ = oracle_of(game)
    assert oracle.certificate.gain < 0.005
    found = random_search(game, oracle, np.random.default_rng(4), tried=20_000)
    assert found < 0.005


@pytest.mark.parametrize("game", [Misconception(), LearnableDiscount()], ids=["misconception", "discount"])
def test_where_tables_converge_they_are_kept(game):
    oracle, raised = oracle_of(game)
    assert type(oracle) is TABLES[type(game)]
    assert not raised
    assert oracle.certificate.gain < 1e-5


PROJECTED = Misconception(train_then_deploy(3, 8, 5.0), discount=0.9, regularization=0.3)


@pytest.mark.parametrize(
    "game",
    [
        PROJECTED,
        pytest.param(
            Misconception(train_then_deploy(4, 8, 3.0), discount=0.9, regularization=0.3),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["three", "four"],
)
def test_where_goals_are_projected_cells_tell_sizes_apart(monkeypatch, game):
    """An angle alone leaves most of the cost of silence to gain there."""
    tables = MisconceptionOracle(game)
    assert can_reach_bound(game, tables)
    assert certify(game, MisconceptionCells(game, cells=100)).gain > 0.1
    monkeypatch.setattr(certified_oracle, "_CELLS", ())
    oracle, _ = oracle_of(game)
    assert oracle.certificate.gain < TOLERANCE
    found = random_search(game, oracle, np.random.default_rng(5), tried=4_000)
    assert found <= oracle.certificate.gain + 0.5 * TOLERANCE


def test_only_actions_that_reach_the_bound_project():
    assert not can_reach_bound(SHARED, MisconceptionOracle(SHARED))
    wide = dataclasses.replace(PROJECTED, goal_bound=1e5)
    assert not can_reach_bound(wide, MisconceptionOracle(wide))


def test_where_nothing_helps_the_oracle_is_refused_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(certified_oracle, "_CELLS", ())
    oracle, raised = oracle_of(SHARED)
    with pytest.raises(
        ValueError, match=f"leaves agent . {oracle.certificate.gain:.2%} on its path from θ_0 = 0.8: shorten"
    ):
        mesa_env.oracle(SHARED)
    with pytest.raises(ValueError, match="uncertified must be"):
        mesa_env.oracle(SHARED, uncertified=1)
    assert type(oracle) is MisconceptionOracle
    assert len(raised) == 1
    assert f"could gain {oracle.certificate.gain:.2%} of" in raised[0]


@pytest.mark.parametrize(
    ("game", "options", "largest"),
    [(WORSE, {}, 0.9), (PATIENT, {}, 0.9), (PROJECTED, {"sized": True}, 9.9)],
    ids=["misconception", "learnable discount", "projected"],
)
def test_costs_that_cells_weigh_are_those_of_playing_by_the_rules(game, options, largest):
    agent, rng = KINDS[type(game)](game, cells=40, **options), np.random.default_rng(0)
    n, size = 1, 400
    goals, actions = rng.uniform(-largest, largest, size), rng.uniform(-2, 2, size).astype(np.float32)
    beside = (
        rng.uniform(-largest, largest, size) if isinstance(game, Misconception) else rng.uniform(0, 1, size)
    )
    state = game.start(np.zeros((size, game.n_uniforms)), goals)
    extra = Belief(beside) if isinstance(game, Misconception) else Patience(beside)
    step = BestResponse(game, agent).step(
        state._replace(episode=np.full(size, n), extra=extra), actions[:, None]
    )
    policy = agent.policy
    costs = [
        agent._cost(float(c), policy.rules, policy.cells, n, goal, other)
        for c, goal, other in zip(actions, goals, beside, strict=True)
    ]
    close = np.isclose(costs, -step.reward, rtol=1e-6, atol=1e-9)
    assert close.mean() > 0.98, "only at edges of cells may rounding decide which one is read"


def test_more_cells_leave_less_to_gain_off_the_path():
    few, many = (MisconceptionCells(SHARED, cells=cells).policy for cells in (20, 400))
    worst = [policy._regrets[2][policy.cells.children[2] == 0].max() for policy in (few, many)]
    assert worst[1] < 1.1e-4 < worst[0]


def test_cells_are_found_again_bit_for_bit():
    first, second = (MisconceptionCells(SHARED, cells=60) for _ in range(2))
    np.testing.assert_array_equal(first.policy.cells.planes, second.policy.cells.planes)
    state = SHARED.start(np.zeros((5, 0)), np.linspace(-0.8, 0.8, 5))
    observed = SHARED.observe(state)
    np.testing.assert_array_equal(first.predict(observed)[0], second.predict(observed)[0])


def test_in_deployment_and_in_pauses_agents_on_cells_emit_their_goal():
    game = Misconception([0.3, 0.0, 0.5, 0.0], coefficient_bound=0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent = MisconceptionCells(game, cells=40)
    played = mesa_env.rollout(game, agent, [0.8, -0.3])
    np.testing.assert_array_equal(played.coefficients[:, [1, 3]], np.float32(0.7))
    assert (np.abs(played.coefficients) <= np.float32(0.7)).all()
