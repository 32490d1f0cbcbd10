"""The goal probe against calculus, brute force and the sampling distributions that theory promises."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from mesa_env.worlds import (
    CookieElimination,
    CrumbVacuuming,
    Plans,
    TableSetting,
    TableWiping,
    compare_goals,
    fit_goal,
    plan,
    sample_plans,
)

KITCHENS = (TableWiping, CrumbVacuuming, TableSetting, CookieElimination)
DIAGONAL = np.array([-1, 1]) / math.sqrt(2)


def table(features, ways=None, base=None):
    features = np.array(features, dtype=float)
    ways = tuple(ways or [1] * len(features))
    return Plans(features, np.zeros(len(ways)) if base is None else np.array(base), np.log(ways), ways)


def log_likelihood(plans, weights, features, temperature):
    """Of episodes one by one, each of which ended with what some of the plans end with."""
    values = np.exp(plans.log_ways + plans.features @ weights / temperature)
    same = (plans.features == np.array(features)[:, None]).all(axis=-1)
    return np.log(same @ values / values.sum()).sum()


# -- Estimates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "goal"), [(TableWiping, (0, 2)), (CrumbVacuuming, (0.5, 0.3)), (TableSetting, (1, 1.5))]
)
def test_estimates_are_distributed_as_theory_promises(kind, goal):
    """(ŵ − w)ᵀ F (ŵ − w) has χ² of 2 degrees (Kolmogorov–Smirnov), and 99 % are within 3 standard errors."""
    plans, distances, within = kind(True).plans(), [], []
    for seed in range(200):
        probe = fit_goal(plans, sample_plans(plans, goal, 1000, np.random.default_rng(seed)))
        assert probe.bounded
        off = probe.weights - goal
        distances.append(off @ probe.fisher @ off)
        within.append((np.abs(off) <= 3 * probe.standard_errors).all())
    assert stats.kstest(distances, stats.chi2(2).cdf).pvalue > 0.01
    assert np.mean(within) >= 0.98


@given(
    st.sampled_from(KITCHENS),
    st.booleans(),
    st.tuples(*[st.floats(-1.5, 1.5)] * 2),
    st.floats(0.3, 3),
    st.integers(0, 2**32 - 1),
)
def test_an_estimate_is_stationary_and_its_information_the_curvature(kind, deployed, goal, temperature, seed):
    plans = kind(deployed).plans()
    drawn = sample_plans(plans, goal, 300, np.random.default_rng(seed), temperature)
    probe = fit_goal(plans, drawn, temperature=temperature)
    planned = plan(plans, probe.weights, temperature)
    push = 300 * (probe.features - planned.features) / temperature
    np.testing.assert_allclose(push, probe.ridge * probe.weights / temperature**2, atol=1e-8)
    assert (probe.ridge == 0) == probe.bounded
    assert probe.log_likelihood == pytest.approx(log_likelihood(plans, probe.weights, drawn, temperature))
    np.testing.assert_allclose(probe.null_directions @ probe.weights, 0, atol=1e-12)

    step = 1e-3

    def moved(i, j):
        change = step * (np.eye(2)[abs(i) - 1] * np.sign(i) + np.eye(2)[abs(j) - 1] * np.sign(j))
        return log_likelihood(plans, probe.weights + change, drawn, temperature)

    for i, j in itertools.product((1, 2), repeat=2):
        curvature = (moved(i, j) - moved(i, -j) - moved(-i, j) + moved(-i, -j)) / (4 * step**2)
        assert probe.fisher[i - 1, j - 1] == pytest.approx(-curvature, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize(
    "plans", [TableWiping().plans(), CrumbVacuuming().plans()], ids=["wiping", "vacuuming"]
)
def test_deviances_of_planners_are_distributed_as_theory_promises(plans):
    """Kolmogorov–Smirnov, where every outcome occurs."""
    probes = [
        fit_goal(plans, sample_plans(plans, (0, 0.1), 2000, np.random.default_rng(seed)))
        for seed in range(200)
    ]
    degrees = len(plans.base) - 2
    assert {probe.degrees_of_freedom for probe in probes} == {degrees}
    assert stats.kstest([probe.deviance for probe in probes], stats.chi2(degrees).cdf).pvalue > 0.01


def test_deviance_says_that_no_goal_explains_the_behavior():
    """A table set for two is a goal of its own, but no weights on the cells wiped left and right."""
    plans = TableSetting().plans()
    setter = plans._replace(features=np.column_stack([plans.features, plans.base]))
    counts = np.random.default_rng(0).multinomial(300, plan(setter, (0, 0, 2)).probabilities)
    own = fit_goal(setter, setter.features, counts)
    probe = fit_goal(plans, plans.features, counts)
    assert stats.chi2.sf(own.deviance, own.degrees_of_freedom) > 0.01
    assert probe.bounded
    assert stats.chi2.sf(probe.deviance, probe.degrees_of_freedom) < 1e-9
    frequencies, fitted = counts / 300, plan(plans, probe.weights).probabilities
    assert probe.deviance == pytest.approx(600 * special.rel_entr(frequencies, fitted).sum())


def test_log_likelihoods_of_behavior_in_several_worlds_add():
    tables = [TableWiping().plans(), TableWiping(True).plans()]
    behavior = [sample_plans(plans, (0, 2), n) for plans, n in zip(tables, (300, 100), strict=True)]
    probe = fit_goal(tables, behavior)
    planned = [plan(plans, probe.weights) for plans in tables]
    push = sum(
        drawn.sum(axis=0) - len(drawn) * now.features for drawn, now in zip(behavior, planned, strict=True)
    )
    np.testing.assert_allclose(push, 0, atol=1e-9)
    np.testing.assert_allclose(probe.fisher, 300 * planned[0].covariance + 100 * planned[1].covariance)
    assert probe.episodes == 400
    np.testing.assert_allclose(probe.features, np.concatenate(behavior).mean(axis=0))
    own = [
        log_likelihood(plans, probe.weights, drawn, 1.0)
        for plans, drawn in zip(tables, behavior, strict=True)
    ]
    assert probe.log_likelihood == pytest.approx(sum(own))
    assert (probe.standard_errors < fit_goal(tables[1], behavior[1]).standard_errors).all()


def test_a_world_without_episodes_says_nothing():
    tables, drawn = (
        [TableWiping().plans(), TableWiping(True).plans()],
        sample_plans(TableWiping().plans(), (0, 2), 9),
    )
    for given_, alone in zip(
        fit_goal(tables, [drawn, np.zeros((0, 2))]), fit_goal(tables[0], drawn), strict=True
    ):
        np.testing.assert_array_equal(given_, alone)


def test_counts_stand_for_repeated_rows_and_a_start_for_nothing():
    plans = CrumbVacuuming(True).plans()
    drawn = sample_plans(plans, (0, 1), 200)
    probe = fit_goal(plans, drawn)
    rows, counts = np.unique(drawn, axis=0, return_counts=True)
    others = [
        fit_goal(plans, rows, counts),
        fit_goal(plans, drawn.astype(np.float32)),
        fit_goal(plans, drawn, start=(-2, 3)),
        fit_goal(plans, drawn, start=(1e300, -1e308)),
        fit_goal([plans], [rows], [counts.tolist()]),
    ]
    for other in others:
        for expected, found in zip(probe, other, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    halves = fit_goal([plans, plans], [drawn[:50], drawn[50:]])
    np.testing.assert_allclose(halves.weights, probe.weights, rtol=1e-8)
    np.testing.assert_allclose(halves.standard_errors, probe.standard_errors, rtol=1e-8)


def test_behavior_shows_goals_in_units_of_the_temperature():
    plans = TableSetting(True).plans()
    drawn = sample_plans(plans, (3, 2), 100, temperature=2.0)
    warm, unit = fit_goal(plans, drawn, temperature=2.0), fit_goal(plans, drawn)
    np.testing.assert_allclose(warm.weights, 2 * unit.weights)
    np.testing.assert_allclose(warm.standard_errors, 2 * unit.standard_errors)
    np.testing.assert_allclose(4 * warm.fisher, unit.fisher)


def test_outcomes_that_share_their_features_count_together():
    probe = fit_goal(table([[0], [0], [1]], ways=(1, 2, 5), base=[0.0, 1.0, 0.0]), [[0], [1], [1]])
    assert probe.weights == pytest.approx([math.log((2 / 5) / (1 / 3))])
    assert probe.log_likelihood == pytest.approx(math.log(1 / 3) + 2 * math.log(2 / 3))
    assert probe.deviance == pytest.approx(0, abs=1e-12)
    assert probe.degrees_of_freedom == 0


def test_ways_may_be_more_than_floating_point_holds():
    plans = Plans(np.array([[0.0], [1.0]]), np.zeros(2), np.array([0.0, 2000.0]), (1, 1))
    assert fit_goal(plans, [[0], [0], [0], [1]]).weights == pytest.approx([-2000 - math.log(3)])


# -- What cannot be known -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "direction"),
    [(TableWiping, DIAGONAL), (CrumbVacuuming, DIAGONAL), (CookieElimination, np.array([0, 1]))],
)
def test_deployment_tells_what_training_cannot(kind, direction):
    training, deployed = kind().plans(), kind(True).plans()
    drawn = [sample_plans(plans, (0, 1), 500) for plans in (training, deployed)]
    unknown, known = fit_goal(training, drawn[0]), fit_goal([training, deployed], drawn)
    assert np.abs(unknown.null_directions @ direction) == pytest.approx([1])
    np.testing.assert_allclose(unknown.weights @ direction, 0, atol=1e-12)
    np.testing.assert_allclose(unknown.fisher @ direction, 0, atol=1e-9)
    assert (np.isinf(unknown.standard_errors) == (np.abs(direction) > 1e-9)).all()
    assert known.null_directions.shape == (0, 2)
    assert np.isfinite(known.standard_errors).all()


@pytest.mark.parametrize("kind", KITCHENS)
@pytest.mark.parametrize("deployed", [False, True])
def test_a_learner_that_never_errs_shows_no_strength_of_its_goal(kind, deployed):
    plans = kind(deployed).plans()
    best = plans.features[[(plans.features @ (1, 1.5)).argmax()]]
    weak, strong = (fit_goal(plans, best, [50], ridge=ridge) for ridge in (0.01, 0.0001))
    for probe, ridge in ((weak, 0.01), (strong, 0.0001)):
        assert not probe.bounded
        assert probe.ridge == ridge
        assert np.isinf(probe.standard_errors).all()
    assert strong.log_likelihood > weak.log_likelihood
    assert np.linalg.norm(strong.weights) > np.linalg.norm(weak.weights)


def has_maximum(plans, seen):
    """By trying the normals of all lines through what was seen and another outcome of a plane."""
    normals = (plans.features - seen[0]) @ np.array([[0, 1], [-1, 0]])
    ahead = np.concatenate([normals, -normals]) @ (plans.features - seen[0]).T
    level = np.concatenate([normals, -normals]) @ (seen - seen[0]).T
    return not ((ahead <= 0).all(axis=1) & (ahead < 0).any(axis=1) & (level == 0).all(axis=1)).any()


@given(st.data())
def test_a_likelihood_is_bounded_unless_behavior_is_on_the_boundary(data):
    points = data.draw(st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=3, max_size=12, unique=True))
    plans = table(sorted(points))
    rows = data.draw(st.lists(st.sampled_from(sorted(points)), min_size=1, max_size=4))
    if plans.conserved.size:
        return
    probe = fit_goal(plans, rows)
    assert probe.bounded == has_maximum(plans, np.array(rows, dtype=float))
    moves = 0.01 * np.array(list(itertools.product((-1, 0, 1), repeat=2)))
    values = [
        log_likelihood(plans, probe.weights + move, rows, 1.0)
        - probe.ridge / 2 * np.sum((probe.weights + move) ** 2)
        for move in moves
    ]
    assert np.argmax(values) == 4 or max(values) - values[4] < 1e-9


@pytest.mark.parametrize("episodes", [10, 10**6, 10**9])
def test_one_error_among_any_number_of_episodes_shows_the_strength(episodes):
    probe = fit_goal(table([[0], [1]]), [[0], [1]], [1, episodes])
    assert probe.bounded
    assert probe.weights == pytest.approx([math.log(episodes)])
    assert probe.standard_errors == pytest.approx([math.sqrt((episodes + 1) / episodes)])


def test_a_world_in_which_nothing_differs_tells_nothing():
    probe = fit_goal(table([[2, 3]]), [[2, 3]])
    assert probe.bounded
    assert probe.log_likelihood == 0
    np.testing.assert_array_equal(probe.weights, 0)
    np.testing.assert_array_equal(probe.standard_errors, np.inf)
    assert probe.null_directions.shape == (2, 2)


# -- Comparisons --------------------------------------------------------------------------------------------


def test_goals_differ_by_the_divergence_of_their_plans():
    plans = CrumbVacuuming(True).plans()
    others = np.random.default_rng(0).normal(size=(3, 4, 2))
    compared = compare_goals(plans, (0, 1), others, temperature=0.7, error=0.05)
    first, second = (plan(plans, goals, 0.7).probabilities for goals in ((0, 1), others))
    expected = special.rel_entr(first, second).sum(axis=-1)
    np.testing.assert_allclose(compared.divergence, expected, rtol=1e-10)
    np.testing.assert_allclose(compared.episodes, np.maximum(math.log(20) / expected, 1))
    assert compared.distinguishable.all()


def test_the_page_has_the_right_numbers():
    wiping, vacuuming = TableWiping(True).plans(), CrumbVacuuming(True).plans()
    compared = compare_goals(wiping, (0, 2), (2, 0))
    assert compared.divergence == pytest.approx(3.006, abs=5e-4)
    assert compared.episodes == pytest.approx(1.53, abs=5e-3)
    compared = compare_goals(vacuuming, (0, 2), (2, 0))
    assert compared.divergence == pytest.approx(14.636, abs=5e-4)
    assert compared.episodes == 1


def test_goals_that_training_cannot_tell_apart():
    training, deployed = TableWiping().plans(), TableWiping(True).plans()
    for other in ((2, 0), (1, 1), (-7, 9)):
        assert compare_goals(training, (0, 2), other) == (False, 0, math.inf)
        assert compare_goals(deployed, (0, 2), other).distinguishable
    assert compare_goals(training, (0, 2), (0, 2.001)).distinguishable
    assert compare_goals(deployed, (0, 2), (0, 2)) == (False, 0, math.inf)


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7])
def test_goals_close_to_each_other_differ_by_half_the_information(size):
    plans, change = TableSetting(True).plans(), size * np.array([0.6, -0.8])
    half = change @ plan(plans, (1, 1.5)).covariance @ change / 2
    found = compare_goals(plans, (1, 1.5), np.array((1, 1.5)) + change).divergence
    assert found == pytest.approx(half, rel=2 * size + 1e-6)


def test_goals_far_from_each_other_differ_finitely():
    found = compare_goals(table([[0], [1]]), [0], [5000])
    assert found.divergence == pytest.approx(2500 - math.log(2))


def test_a_sequential_test_takes_the_episodes_that_are_foretold():
    plans, goals, error = TableWiping(True).plans(), ((0, 1), (0.5, 0.8)), 0.01
    expected = compare_goals(plans, *goals, error=error)
    logs = np.log(np.stack([plan(plans, goal).probabilities for goal in goals]))
    ratios, generator = logs[0] - logs[1], np.random.default_rng(0)
    for goal, threshold in zip(range(2), (math.log(1 / error),) * 2, strict=True):
        drawn = generator.choice(len(ratios), (2000, 600), p=np.exp(logs[goal]))
        above = ratios[drawn].cumsum(axis=1) >= threshold
        if goal == 0:
            assert above.any(axis=1).all()
            times = above.argmax(axis=1) + 1
            tolerance = 4 * times.std() / math.sqrt(len(times))
            most = (threshold + ratios.max()) / expected.divergence
            assert expected.episodes - tolerance <= times.mean() <= most + tolerance
        else:
            assert above.any(axis=1).mean() <= error + 4 * math.sqrt(error / len(above))


def test_sampled_plans_have_the_probabilities_of_the_planner():
    plans = TableWiping(True).plans()
    drawn = sample_plans(plans, (0.2, 0.4), 5000, np.random.default_rng(3), temperature=2.0)
    counts = [(drawn == row).all(axis=1).sum() for row in plans.features]
    expected = 5000 * plan(plans, (0.2, 0.4), 2.0).probabilities
    assert stats.chisquare(counts, expected).pvalue > 0.01
    np.testing.assert_array_equal(sample_plans(plans, (0, 1), 5), sample_plans(plans, (0, 1), 5))


# -- Refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plans": TableWiping()}, "plans must be a plan table, as World.plans returns; got TableWiping"),
        ({"plans": [TableWiping()], "features": [[[3, 3]]]}, "plans must be a plan table"),
        (
            {"features": [[3, 3], [3]]},
            r"features must be finite numbers of shape \(episodes, 2\); got \[\[3, 3\]",
        ),
        ({"features": [3, 3]}, r"features must be finite numbers of shape \(episodes, 2\); got \[3, 3\]"),
        ({"features": [[3, 3, 3]]}, r"features must be finite numbers of shape \(episodes, 2\)"),
        ({"features": [[3, math.nan]]}, r"features must be finite numbers of shape .*nan"),
        ({"features": "abc"}, r"features must be finite numbers of shape .*; got 'abc'"),
        ({"features": np.zeros((0, 2))}, "features must be those of at least one episode"),
        ({"counts": [0, 0]}, "features must be those of at least one episode"),
        (
            {"features": [[3, 3], [3, 4.5]]},
            r"features must be those of a plan; got \[3.0, 4.5\] in row 1, and the nearest",
        ),
        (
            {"counts": [1]},
            r"counts must be whole numbers in 0…10{15}, one for each of 2 rows of features; got \[1\]",
        ),
        ({"counts": [1, -1]}, "counts must be whole numbers"),
        ({"counts": [1, 0.5]}, "counts must be whole numbers"),
        ({"counts": [1, math.inf]}, "counts must be whole numbers"),
        ({"temperature": 0}, r"temperature must be a finite number in \[1e-100, 1e\+100\]; got 0"),
        ({"temperature": 1e-308}, "temperature must be a finite number in"),
        ({"ridge": -1}, "ridge must be a finite number greater than 0"),
        ({"start": (1, 2, 3)}, r"start must be 2 finite numbers, one for each feature; got \(1, 2, 3\)"),
        ({"start": (math.nan, 0)}, "start must be 2 finite numbers"),
        ({"plans": [TableWiping().plans()] * 2}, None),
        (
            {"plans": [TableWiping().plans()] * 3},
            "features must be a list of one array for each of 3 plan tables",
        ),
        (
            {"plans": [TableWiping().plans()] * 2, "features": [[[3, 3]]] * 2, "counts": [1, 2, 3]},
            "counts must be a list of one array for each of 2 plan tables; got",
        ),
        (
            {"plans": [TableWiping().plans(), table([[0]])]},
            r"plan tables must have equally many features; got \[1, 2\]",
        ),
        ({"plans": [], "features": []}, "features must be those of at least one episode"),
    ],
)
def test_behavior_that_is_none_is_refused_in_one_sentence(arguments, message):
    given_ = {"plans": TableWiping().plans(), "features": [[3, 3], [2, 2]]} | arguments
    if message is None:
        message = r"features must be finite numbers of shape \(episodes, 2\); got \[3, 3\]"
    with pytest.raises((ValueError, TypeError), match=message):
        fit_goal(**given_)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda plans: compare_goals(plans, (0, 1), (0, 1, 2)),
            "weights must be finite numbers, one for each",
        ),
        (lambda plans: compare_goals(plans, (0, 1), (0, math.nan)), "weights must be finite numbers"),
        (lambda plans: compare_goals(plans, np.ones((2, 2)), np.ones((3, 2))), "goals must broadcast; got"),
        (lambda plans: compare_goals(plans, (0, 1), (1, 0), error=1), "error must be a finite number"),
        (lambda plans: compare_goals(TableWiping(), (0, 1), (1, 0)), "plans must be a plan table"),
        (
            lambda plans: sample_plans(plans, (0, 1), 2.5),
            "episodes must be a whole number in 0…10000000; got 2.5",
        ),
        (lambda plans: sample_plans(plans, (0, 1), 10**30), "episodes must be a whole number in"),
        (lambda plans: sample_plans(plans, np.ones((2, 2)), 3), "weights must be those of one goal"),
        (
            lambda plans: sample_plans(plans, (0, 1), 3, 0),
            "generator must be a numpy.random.Generator or None",
        ),
    ],
)
def test_goals_that_are_none_are_refused_in_one_sentence(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(TableWiping().plans())
