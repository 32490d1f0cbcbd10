"""Shared mathematics against closed forms, exact fractions and SciPy."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import KroghInterpolator
from scipy.optimize import minimize_scalar

import mesa_env
from mesa_env.numerics import (
    Refinement,
    bound_in_any_precision,
    compiled,
    cubic_stencil,
    discount_at,
    discounted_lengths,
    first_order_condition,
    geometric_sum,
    golden_section,
    interpolate,
    position_of,
    positive_roots,
    run_in_blocks,
    unit_sums_before,
    weighted_neighbors,
)

EPSILON = float(np.finfo(np.float64).eps)
magnitudes = st.floats(-12, 12).map(lambda x: 10.0**x)
small = st.fractions(min_value=-2, max_value=2, max_denominator=1000)
shares = st.fractions(min_value=0, max_value=1, max_denominator=1000)


# -- Best responses and unit sums -------------------------------------------------------------------------


@given(small, small, shares, shares, small)
def test_unit_sums_are_those_of_the_agent_and_the_rest(c, m, discount, squares, outputs):
    """In exact fractions, which the plain function accepts as it is."""
    a, b = unit_sums_before(c, m, discount, squares, outputs)
    assert a == c**2 + discount * m**2 * squares
    assert b == c + discount * m * outputs


@given(small, small, shares, shares, shares, shares)
def test_the_first_order_condition_is_half_the_derivative_of_the_unit_cost(c, b, rate, discount, weight, a):
    def cost(x):
        m = 1 - 2 * rate * (x**2 + weight)
        return (x - 1) ** 2 + discount * (m**2 * a - 2 * m * b)

    # The unit cost is a polynomial of degree 4, whose derivative this stencil gives exactly.
    derivative = (8 * (cost(c + 1) - cost(c - 1)) - (cost(c + 2) - cost(c - 2))) / 12
    alpha, beta = first_order_condition(rate, discount, weight, a, b)
    assert alpha * c**3 + beta * c - 1 == derivative / 2


@compiled
def compiled_sums(c, m, discount, squares, outputs):
    return unit_sums_before(c, m, discount, squares, outputs)


def test_shared_functions_give_the_same_bits_compiled_plain_and_in_arrays():
    arguments = np.random.default_rng(0).normal(size=(5, 100))
    in_arrays = np.array(unit_sums_before(*arguments))
    np.testing.assert_array_equal([compiled_sums(*column) for column in arguments.T], in_arrays.T)
    np.testing.assert_array_equal([unit_sums_before(*column) for column in arguments.T], in_arrays.T)


@given(magnitudes, st.one_of(magnitudes, magnitudes.map(lambda x: -x)))
def test_positive_roots_lie_where_exact_fractions_change_sign(alpha, beta):
    (root,) = (Fraction(x) for x in positive_roots(np.array([alpha]), np.array([beta])))
    below, above = root * (1 - Fraction(16 * EPSILON)), root * (1 + Fraction(16 * EPSILON))
    assert Fraction(alpha) * below**3 + Fraction(beta) * below < 1
    assert Fraction(alpha) * above**3 + Fraction(beta) * above > 1


@pytest.mark.parametrize(
    ("alpha", "beta", "root"),
    [(0.0, 1.0, 1.0), (0.0, 4.0, 0.25), (1.0, 0.0, 1.0), (8.0, 0.0, 0.5), (2.0, 1.5, 0.5)],
)
def test_positive_roots_in_closed_form(alpha, beta, root):
    assert positive_roots(np.array([alpha]), np.array([beta]))[0] == pytest.approx(root, rel=4 * EPSILON)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, -1.0), (1e-304, -1e88), (np.nan, 1.0), (np.inf, 1.0)])
def test_where_floating_point_leaves_no_root_the_search_ends(alpha, beta):
    assert np.isnan(positive_roots(np.array([alpha]), np.array([beta]))).all()


def test_a_missing_root_does_not_affect_the_others():
    roots = positive_roots(np.array([0.0, 0.0, 1.0]), np.array([-1.0, 2.0, 0.0]))
    np.testing.assert_allclose(roots, [np.nan, 0.5, 1.0])


@given(shares, st.integers(0, 40))
def test_discounted_lengths_are_geometric_sums(discount, episodes):
    exact = [sum(discount**k for k in range(episodes - n)) for n in range(episodes + 1)]
    lengths = discounted_lengths(float(discount), episodes)
    np.testing.assert_allclose(lengths, [float(length) for length in exact], rtol=1e-14)
    closed = [geometric_sum(float(discount), float(episodes - n)) for n in range(episodes + 1)]
    np.testing.assert_allclose(closed, [float(length) for length in exact], rtol=1e-12)


def test_geometric_sums_do_not_cancel_close_to_1():
    discount, terms = 1 - 2.0**-40, 10**6
    exact = (1 - Fraction(discount) ** 1000) / (1 - Fraction(discount))
    assert geometric_sum(discount, 1000.0) == pytest.approx(float(exact), rel=1e-14)
    assert geometric_sum(1.0, float(terms)) == terms


# -- Minima and tables ------------------------------------------------------------------------------------


@compiled
def quartic(x, center, tilt):
    return (x - center) ** 4 + (x - center) ** 2 + tilt * x


@pytest.mark.parametrize("keep_left", [True, False])
@pytest.mark.parametrize(("center", "tilt"), [(0.3, 0.0), (-0.7, 0.5), (0.0, -1.0)])
def test_golden_sections_find_the_minimum_that_scipy_finds(keep_left, center, tilt):
    found, cost = golden_section(quartic, keep_left)((center, tilt), -2.0, 2.0, 40)
    expected = minimize_scalar(
        quartic, bounds=(-2, 2), args=(center, tilt), method="bounded", options={"xatol": 1e-9}
    )
    assert found == pytest.approx(expected.x, abs=1e-7)
    assert cost == quartic(found, center, tilt)


@compiled
def level(x):
    return 0.0 * x


def test_golden_sections_keep_the_side_that_was_asked_for_where_all_costs_tie():
    left, right = (golden_section(level, keep_left)((), 0.0, 1.0, 30)[0] for keep_left in (True, False))
    assert left == pytest.approx(0, abs=1e-5)
    assert right == pytest.approx(1, abs=1e-5)


@given(st.integers(3, 40), st.floats(0, 1), st.lists(st.floats(-5, 5), min_size=41, max_size=41))
def test_interpolation_is_the_lagrange_cubic_through_the_nearest_four_nodes(cells, share, values):
    place, table = share * cells, np.array(values[: cells + 1])
    first, weights = cubic_stencil(place, cells)
    assert 0 <= first <= cells - 3
    assert first <= place <= first + 3
    assert sum(weights) == pytest.approx(1)
    nodes = np.arange(first, first + 4)
    expected = KroghInterpolator(nodes, table[nodes])(place)
    assert weighted_neighbors(table, first, weights) == pytest.approx(float(expected), abs=1e-9)


def test_stencils_of_arrays_are_those_of_their_elements():
    places = np.linspace(0, 7, 40)
    first, weights = cubic_stencil(places, 7)
    for i, place in enumerate(places):
        alone, its_weights = cubic_stencil(place, 7)
        assert (first[i], *(w[i] for w in weights)) == (alone, *its_weights)


@given(st.floats(0, 1), st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_smooth_tables_are_read_as_cubics_and_others_as_lines(t, values):
    table = np.array(values)
    cubic = weighted_neighbors(table, *cubic_stencil(1 + t, 3))
    assert interpolate(table, 1, t, True) == pytest.approx(float(cubic), abs=1e-12)
    assert interpolate(table, 1, t, False) == pytest.approx(
        float(np.interp(1 + t, range(4), table)), abs=1e-12
    )


@given(st.floats(0, 1))
def test_positions_and_discounts_are_inverse_to_each_other(t):
    assert position_of(discount_at(t)) == pytest.approx(t, abs=1e-7)
    assert discount_at(position_of(t)) == pytest.approx(t, abs=1e-15)


def test_positions_keep_order_ends_and_symmetry():
    t = np.linspace(0, 1, 101)
    discounts = discount_at(t)
    assert (np.diff(discounts) > 0).all()
    assert (discounts[0], discounts[50], discounts[-1]) == (0, 0.5, 1)
    np.testing.assert_allclose(discounts + discounts[::-1], 1, rtol=1e-15)


def test_a_refinement_is_the_largest_change_of_each_part():
    coarse, fine = (np.zeros(3), np.ones((2, 2))), (np.array([0.0, -0.25, 0.1]), np.full((2, 2), 1.5))
    assert Refinement.between(coarse, fine) == (0.25, 0.5)
    alone = Refinement.between(coarse[:1], fine[:1])
    assert alone.coefficients == 0.25
    assert math.isnan(alone.path)


# -- Work and precision -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize(("count", "smallest"), [(0, 4), (1, 4), (4, 4), (5, 4), (1000, 4), (1000, 1000)])
def test_blocks_partition_the_work(cores, count, smallest, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    seen, lock = [], threading.Lock()

    def solve(block):
        with lock:
            seen.append(range(count)[block])

    run_in_blocks(solve, count, smallest)
    assert sorted(item for block in seen for item in block) == list(range(count))
    assert all(len(block) >= smallest for block in sorted(seen, key=lambda block: block.start)[:-1])


def test_errors_in_a_block_are_raised():
    def fail(block):
        raise ValueError(f"no {block.start}")

    with pytest.raises(ValueError, match="no "):
        run_in_blocks(fail, 10, 1)


def test_bounds_allow_what_either_precision_makes_of_them():
    bounds = np.array([0.1, 0.7, 2.0, 1e38])
    allowed = bound_in_any_precision(bounds)
    assert (allowed >= bounds).all()
    assert (allowed >= bounds.astype(np.float32)).all()
    np.testing.assert_array_equal(allowed > bounds, bounds.astype(np.float32) > bounds)
    assert bound_in_any_precision(0.1) > 0.1


# -- Where compiled kernels are kept ----------------------------------------------------------------------

SOLVE = """
import mesa_env
print(mesa_env.__file__, mesa_env.solve_equilibrium(mesa_env.Game())[0])
"""


@pytest.fixture
def installed(tmp_path):
    """A copy of the library, to be imported without a home."""
    skipped = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(Path(mesa_env.__file__).parent, tmp_path / "site" / "mesa_env", ignore=skipped)


def solve_without_home(installed):
    environment = {"PYTHONPATH": str(installed.parent), "HOME": os.devnull, "XDG_CACHE_HOME": os.devnull}
    command = [sys.executable, "-c", SOLVE]
    done = subprocess.run(command, env=environment, cwd=os.sep, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    path, coefficient = done.stdout.split()
    assert Path(path).is_relative_to(installed)
    return float(coefficient)


def test_kernels_run_where_no_folder_can_hold_their_code(installed):
    for folder in [installed, *installed.rglob("*/")]:
        if folder.is_dir():
            (folder / "__pycache__").write_text("no folder, so that not even root can write to it")
    assert solve_without_home(installed) == mesa_env.solve_equilibrium(mesa_env.Game())[0]


@pytest.mark.slow
def test_kernels_are_compiled_anew_where_their_code_is_damaged(installed):
    expected = solve_without_home(installed)
    kept = sorted(installed.rglob("*.nb[ic]"))
    assert len(kept) > 3
    for number, path in enumerate(kept):
        content = path.read_bytes()
        if number % 3 == 0:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(content[:-9] if number % 3 == 1 else content[:30] + bytes(len(content)))
    assert solve_without_home(installed) == expected
