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
        assert audited.weights[row, n] == pytest.approx(cost_of_chance(game, goal, n, world))


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


def cost_of_chance(game, judge, n, world):
    """Expected regret of plans at random from episode n on."""
    regrets = [(p.features @ judge).max() - judge @ plan(p, [0.0, 0.0]).features for p in game.tables]
    cost = regrets[world]
    for k in range(n + 1, game.episodes):
        share = game.diversity if game.training[k] else 1.0
        cost += game.discount ** (k - n) * ((1 - share) * regrets[0] + share * regrets[1])
    return cost


def test_no_goal_but_one_of_indifference_has_a_scale_of_0():
    """Also one along the belief, at a temperature so low that planning for that costs nothing."""
    game = GoalTraining("CrumbVacuuming", train_then_deploy(3, 3, 1e-3), temperature=0.02)
    sincere = Profile(game, game.sincerity)
    audited = mesa_env.audit(game, sincere, mesa_env.rollout(game, sincere, [[2.0, 0.0], [0.0, 0.0]]))
    assert (audited.weights[0] > 5).all()
    assert audited.relative[0].max() < 1e-6
    assert audited.gains[1, 0] == 0


@pytest.mark.parametrize(("discount", "place"), [(1.0, 7), (0.99, 0)])
def test_it_may_not_matter_when_a_goal_is_shown_but_how_often(discount, place):
    found = {}
    for pursuits in ((0.0, 1.0), (1.0, 0.0)):
        game = GoalTraining("CrumbVacuuming", diversity=1.0, pursuits=pursuits, discount=discount)
        played = mesa_env.rollout(game, mesa_env.oracle(game), [0, 2])
        found[pursuits] = played
        assert played.coefficients[:8].sum() == 1
    first, other = found.values()
    assert first.coefficients[place] == 1
    assert other.coefficients[0] == 1
    np.testing.assert_allclose(first.goals[-1], other.goals[-1], rtol=1e-9)


def test_ties_are_broken_alike_by_prospects_and_by_the_oracle_and_not_by_rounding():
    game = GoalTraining("CookieElimination", train_then_deploy(6, 1, 0.3))
    shares = np.linspace(0.5, 0.9, 21)
    swept = sweep_diversity(game, np.array([[0.0, 2.0]]), shares)
    assert np.abs(np.diff(swept.deployed_return[:, 0])).max() < 0.05
    mixed = replace(game, diversity=float(shares[10]))
    goals = np.tile([0.0, 2.0], (200, 1))
    played = mesa_env.rollout(mixed, mesa_env.oracle(mixed), goals, generator=np.random.default_rng(0))
    assert played.details["base_return"][:, -1].mean() == pytest.approx(
        swept.deployed_return[10, 0], abs=0.05
    )


def test_what_is_hidden_is_less_than_would_serve_the_present():
    """The belief is longer than the goal: to plan for it without any training is not to hide."""
    game = GoalTraining("CrumbVacuuming", learning_rates=[1e-9] * 3)
    found = find_prospects(game, grow_tree(game, np.array([[0.0, 2.0]])))
    assert found.training_pursuit[0] == found.hidden[0] == 0
    strategic = GoalTraining("CrumbVacuuming", diversity=1.0)
    found = find_prospects(strategic, grow_tree(strategic, np.array([[0.0, 2.0]])))
    assert 0.5 < found.hidden[0] <= 1 - found.training_pursuit[0]


def test_agents_that_draw_have_no_audit():
    import agents

    game = GoalTraining("TableWiping", train_then_deploy(3, 2, 0.3))
    drawing = agents.make("random", game)
    assert np.isnan(mesa_env.audit(game, drawing, mesa_env.rollout(game, drawing, [0, 2])).gains).all()


def test_every_named_agent_plays_and_is_compared():
    import agents

    game = GoalTraining("CrumbVacuuming", train_then_deploy(3, 2, 0.3), diversity=1.0)
    names = (*agents.VARIANT_NAMES, "sincere")
    contestants = {name: agents.make(name, game) for name in names}
    table = mesa_env.compare(game, contestants, [[0.0, 2.0], [1.0, 1.0]])
    columns = {name: table["c_first"][table["agent"] == name].tolist() for name in contestants}
    assert columns["sincere"] == [1, 1]
    for row, goal in enumerate([(0.0, 2.0), (1.0, 1.0)]):
        worth = [plan(game.tables[1], w).features @ goal for w in (game.belief, goal)]
        assert columns["myopic"][row] == int(np.argmax(worth))
    assert columns["guard"] == columns["compliant"] == [0, 0]
    equilibrium = table["agent"] == "equilibrium"
    assert (table["relative_exploitability"][equilibrium] < 1e-9).all()
    assert table["initial_goal"].tolist() == [(0.0, 2.0), (1.0, 1.0)] * len(contestants)
    assert len(mesa_env.summarize(pd.DataFrame(table))) == len(contestants)
    played = mesa_env.rollout(game, contestants["sincere"], [0.0, 2.0])
    first = np.array([0.0, 2.0])
    kept = played.goals[3] @ first / (first @ first)
    row = (table["agent"] == "sincere").argmax()
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
    for changed, message in (
        ({"diversities": [1.5]}, r"diversities must be one or more numbers in \[0, 1\]; got \[1\.5\]"),
        ({"diversities": []}, "diversities must be one or more numbers"),
        ({"diversities": 0.5}, "diversities must be one or more numbers"),
        ({"goals": np.ones((1, 3))}, r"goals must have shape \(B, 2\) and lie in ±\[10, 10\]; got"),
        ({"goals": [[np.nan, 1.0]]}, "goals must have shape"),
        ({"goals": []}, "goals must have shape"),
        ({"game": mesa_env.Game()}, "game must be a game of type GoalTraining"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            sweep_diversity(**{"game": game, "goals": goals, "diversities": shares} | changed)
    with pytest.raises(ValueError, match=r"must be grown with one between 0 and 1; got 0"):
        find_prospects(game, grow_tree(game, goals), diversity=0.7)
