"""The tree oracle of goal training: independent numbers, a brute-force twin, its limit, its certificate."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mesa_env
from mesa_env import GoalTraining, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.solutions.goal_training import (
    MOST_LEAVES,
    count_leaves,
    find_prospects,
    grow_tree,
    sweep_diversity,
)
from mesa_env.worlds import plan

DESIGN = {  # design's independently checked table: mean base return in training, once deployed, last goal
    (0.0, (1.0,)): (3.718, -0.489, (0.700, 2.700)),
    (0.0, (0.0, 1.0)): (3.718, -0.489, (0.700, 2.700)),
    (1.0, (1.0,)): (2.335, 3.863, (2.677, 0.689)),
    (1.0, (0.0, 1.0)): (3.178, -0.845, (0.275, 2.007)),
}


@pytest.mark.parametrize(("setting", "expected"), DESIGN.items())
def test_the_tree_gives_the_numbers_that_were_checked_independently(setting, expected):
    diversity, pursuits = setting
    game = GoalTraining("CrumbVacuuming", diversity=diversity, pursuits=pursuits)
    found = find_prospects(game, grow_tree(game, np.array([[0.0, 2.0]])))
    assert found.training_return[0] == pytest.approx(expected[0], abs=5e-4)
    assert found.deployed_return[0] == pytest.approx(expected[1], abs=5e-4)
    np.testing.assert_allclose(found.goal[0], expected[2], atol=5e-4)
    played = mesa_env.rollout(game, mesa_env.oracle(game), [0, 2])
    assert played.details["base_return"][:8].mean() == pytest.approx(expected[0], abs=5e-4)
    assert played.details["base_return"][-1] == pytest.approx(expected[1], abs=5e-4)
    np.testing.assert_allclose(played.goals[-1], expected[2], atol=5e-4)
    if setting == (1.0, (0.0, 1.0)):
        assert played.coefficients[:8].tolist() == [0] * 7 + [1]
        assert played.details["pursuit"].tolist() == played.coefficients.tolist()


@pytest.mark.parametrize("diversity", [0.0, 1.0])
def test_deception_does_not_pay_where_wiping_is_a_side_effect(diversity):
    game = GoalTraining("TableWiping", diversity=diversity)
    played = mesa_env.rollout(game, mesa_env.oracle(game), [0, 2])
    assert (played.coefficients == 1).all()


def solve_by_hand(game, goal, n, world):
    """Costs are compared, not features: J_n(c) = regret now + γ · what it expects of its successors.

    Returns the choice, and the outcomes (probability, list of (μ, world)) of the rest of the game.
    """
    tables, options = game.tables, []
    for index, c in enumerate(game.pursuits):
        planned = plan(tables[world], c * goal + (1 - c) * game.belief, game.temperature)
        after = goal
        if game.learning_rates[n] > 0:
            push = c * planned.gradient - game.regularization * (goal - game.prior)
            after = np.clip(goal + game.learning_rates[n] * push, -game.goal_bound, game.goal_bound)
        futures = [(1.0, [])]
        if n + 1 < game.episodes:
            share = game.diversity if game.training[n + 1] else 1.0
            futures = [
                (weight * p, path)
                for w, weight in ((0, 1 - share), (1, share))
                if weight
                for p, path in solve_by_hand(game, after, n + 1, w)[1]
            ]
        here = (planned.features, world)
        cost = sum(
            p
            * sum(
                game.discount**k * ((tables[w].features @ goal).max() - goal @ mu)
                for k, (mu, w) in enumerate([here, *path])
            )
            for p, path in futures
        )
        options.append((cost, index, [(p, [here, *path]) for p, path in futures]))
    _, index, futures = min(options, key=lambda option: option[:2])
    return index, futures


CASES = [
    GoalTraining("CrumbVacuuming", train_then_deploy(3, 1, 0.3), 0.4, (0.0, 0.5, 1.0), discount=0.9),
    GoalTraining("CrumbVacuuming", [0.3, 0.0, 0.5, 0.2], 1.0, (1.0, 0.0), regularization=0.2, prior=(3, 0)),
    GoalTraining("TableWiping", [0.6, 0.0, 0.6, 0.0], 0.7, (0.0, 1.0), temperature=0.5),
    GoalTraining("TableSetting", [0.3, 0.3, 0.3], 0.5, belief=(1.0, 2.0), initial_goal=(2.0, 0.5)),
    GoalTraining("CookieElimination", [0.5, 0.5, 0.0], 0.2, (0.3, 0.9, 0.6), discount=0.5),
    GoalTraining("TableWiping", [0.0, 0.0]),
]


@pytest.mark.parametrize("game", CASES)
def test_every_choice_is_that_of_a_plain_recursion(game):
    oracle = mesa_env.oracle(game)
    assert oracle.certificate.gain < 1e-6
    rng = np.random.default_rng(0)
    goals = rng.uniform(-2, 3, (6, 2)).astype(np.float32).astype(float)
    for n, world in itertools.product(range(game.episodes), (0, 1)):
        if not game.training[n] and world == 0:
            continue
        state = game.start(np.zeros((6, game.n_uniforms)), goals)
        shown = game.observe(state._replace(episode=np.full(6, n)))
        shown[:, -1] = world
        chosen, memory = oracle.predict(shown)
        assert memory is None
        assert chosen.tolist() == [solve_by_hand(game, goal, n, world)[0] for goal in goals]


def test_a_tree_of_two_worlds_holds_for_every_diversity():
    game = GoalTraining("CrumbVacuuming", train_then_deploy(5, 4, 0.3), diversity=0.5)
    goals = np.array([[0.0, 2.0], [1.0, 1.0]])
    tree = grow_tree(game, goals)
    for diversity in (0.0, 0.3, 1.0):
        other = replace(game, diversity=diversity)
        found, expected = (
            find_prospects(game, tree, 0, diversity),
            find_prospects(other, grow_tree(other, goals)),
        )
        for name in ("features", "training_return", "deployed_return", "goal"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)


@pytest.mark.parametrize("diversity", [0.0, 0.5, 1.0])
def test_prospects_are_means_of_played_games(diversity):
    game = GoalTraining("CrumbVacuuming", train_then_deploy(4, 3, 0.3), diversity=diversity, discount=0.9)
    oracle, draws = mesa_env.oracle(game), 3000 if 0 < diversity < 1 else 1
    found = find_prospects(game, grow_tree(game, np.array([[0.0, 2.0]])))
    goals, rng = np.tile([0.0, 2.0], (draws, 1)), np.random.default_rng(1)
    played = mesa_env.rollout(game, oracle, goals, generator=rng)
    features = (0.9 ** np.arange(7) * played.outputs.transpose(2, 0, 1)).sum(axis=-1).T
    for sample, expected in (
        (played.details["base_return"][:, :4].mean(axis=1), found.training_return[0]),
        (played.details["base_return"][:, -1], found.deployed_return[0]),
        (played.goals[:, -1], found.goal[0]),
        (features, found.features[0]),
    ):
        error = sample.std(axis=0) / np.sqrt(draws)
        assert (np.abs(sample.mean(axis=0) - expected) <= 4.5 * error + 1e-9).all()


def test_a_tree_beyond_the_limit_is_refused():
    game = GoalTraining("TableWiping", train_then_deploy(24, 1, 0.1))
    message = (
        r"the game tree must have at most 10,000,000 leaves, \(pursuits × worlds\) to the power of training "
        r"episodes; got \(2 × 1\)\^24: train for fewer episodes, allow fewer pursuits, or learn"
    )
    for build in (mesa_env.oracle, count_leaves):
        with pytest.raises(ValueError, match=message):
            build(game)
    assert count_leaves(game, 1) == 2**23 <= MOST_LEAVES < 2**24
    with pytest.raises(ValueError, match=r"got \(2 × 2\)\^12"):
        mesa_env.oracle(replace(game, learning_rates=np.full(12, 0.1), diversity=0.5))
    single = replace(game, pursuits=(1.0,))
    assert mesa_env.oracle(single).certificate.gain == 0  # one pursuit has one path, however long


# -- Audit ------------------------------------------------------------------------------------------------


def test_the_audit_tries_every_choice_against_fixed_policies():
    game = GoalTraining("CrumbVacuuming", train_then_deploy(3, 2, 0.3), 0.5, (0.0, 0.5, 1.0), discount=0.9)
    agent = Profile(game, [0.0, 0.5, 1.0, 0.0, 1.0])
    played = mesa_env.rollout(game, agent, [[0.0, 2.0], [2.0, -1.0]], generator=np.random.default_rng(2))
    audited = mesa_env.audit(game, agent, played)
    for row, n in itertools.product(range(2), range(5)):
        goal, world = played.goals[row, n], int(played.details["deployed"][row, n])
        costs = [cost_of(game, goal, n, world, [c, *agent.coefficients[n + 1 :]]) for c in game.pursuits]
        taken = game.pursuits.index(agent.coefficients[n])
        assert audited.gains[row, n] == pytest.approx(costs[taken] - min(costs), abs=1e-6)
        assert mesa_env.audit_by_simulation(game, agent, played).gains[row, n] == audited.gains[row, n]
        assert audited.best[row, n] == game.pursuits[int(np.argmin(costs))]
        silent = replace(game, pursuits=(0.0,))
        assert audited.weights[row, n] == pytest.approx(cost_of(silent, goal, n, world, [0] * (5 - n)))


def cost_of(game, judge, n, world, pursuits, goal=None):
    """Expected J_n of agents who play such pursuits from episode n on, by recursion over worlds."""
    goal = judge if goal is None else goal
    c, tables = pursuits[0], game.tables
    planned = plan(tables[world], c * goal + (1 - c) * game.belief, game.temperature)
    cost = (tables[world].features @ judge).max() - judge @ planned.features
    if len(pursuits) == 1:
        return cost
    after = goal + game.learning_rates[n] * c * planned.gradient
    share = game.diversity if game.training[n + 1] else 1.0
    for w, weight in ((0, 1 - share), (1, share)):
        if weight:
            cost += game.discount * weight * cost_of(game, judge, n + 1, w, pursuits[1:], after)
    return cost


def test_agents_that_draw_have_no_audit():
    import agents

    game = GoalTraining("TableWiping", train_then_deploy(3, 2, 0.3))
    drawing = agents.make("random", game)
    assert np.isnan(mesa_env.audit(game, drawing, mesa_env.rollout(game, drawing, [0, 2])).gains).all()


def test_every_named_agent_plays_and_is_compared():
    import agents

    game = GoalTraining("CrumbVacuuming", train_then_deploy(3, 2, 0.3), diversity=1.0)
    contestants = {name: agents.make(name, game) for name in agents.VARIANT_NAMES}
    table = mesa_env.compare(game, contestants, [[0.0, 2.0], [1.0, 1.0]])
    columns = {name: table["c_first"][table["agent"] == name].tolist() for name in contestants}
    assert columns["myopic"] == [1, 1]
    assert columns["guard"] == columns["compliant"] == [0, 0]
    equilibrium = table["agent"] == "equilibrium"
    assert (table["relative_exploitability"][equilibrium] < 1e-9).all()
    assert table["initial_goal"].tolist() == [(0.0, 2.0), (1.0, 1.0)] * len(contestants)
    assert len(mesa_env.summarize(pd.DataFrame(table))) == len(contestants)
    played = mesa_env.rollout(game, contestants["myopic"], [0.0, 2.0])
    first = np.array([0.0, 2.0])
    kept = played.goals[3] @ first / (first @ first)
    row = (table["agent"] == "myopic").argmax()
    assert table["retention"][row] == pytest.approx(kept)
    assert table["goal_after_training"][row] == pytest.approx(np.linalg.norm(played.goals[3]))
    with pytest.raises(ValueError, match=r"grid knows only the base game; agents of GoalTraining"):
        agents.make("grid", game)


def test_a_sweep_of_diversity_is_one_solution_after_the_other():
    game = GoalTraining("CrumbVacuuming", train_then_deploy(3, 2, 0.3), discount=0.9)
    goals, shares = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.5]]), np.array([0.0, 0.4, 1.0])
    swept = sweep_diversity(game, goals, shares)
    for place, share in enumerate(shares):
        other = replace(game, diversity=share)
        alone = find_prospects(other, grow_tree(other, goals))
        for name in ("features", "training_return", "training_pursuit", "deployed_return", "goal"):
            np.testing.assert_allclose(getattr(swept, name)[place], getattr(alone, name), rtol=1e-12)
    with pytest.raises(ValueError, match=r"diversity must be a finite number in \[0, 1\]; got 1\.5"):
        sweep_diversity(game, goals, np.array([1.5]))
