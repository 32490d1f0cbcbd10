"""Tables over beliefs, and expectations over the next signal."""

import numpy as np
import pytest
from scipy.special import expit

from mesa_env.solutions.beliefs import Expectations, Table, gauss_hermite, trapezoid
from tests.mesa_env.solutions.test_hidden_deployment import hidden_game


def test_tables_read_cubics_exactly_and_are_constant_beyond_their_ends():
    at = np.linspace(-2, 2, 9)
    table = Table(at, np.stack([at**3 - at, np.ones(9)]))
    points = np.linspace(-2, 2, 31)
    np.testing.assert_allclose(table.read(np.zeros(31, dtype=int), points), points**3 - points, atol=1e-12)
    beyond = np.array([-np.inf, -5.0, 5.0, np.inf])
    np.testing.assert_allclose(table.read(np.zeros(4, dtype=int), beyond), [-6, -6, 6, 6], atol=1e-12)
    assert expit(table.read(np.ones(4, dtype=int), beyond)) == pytest.approx(np.full(4, expit(1)))


@pytest.mark.parametrize(
    "quadrature", [gauss_hermite(32), trapezoid(201)], ids=["Gauss–Hermite", "trapezoidal"]
)
def test_quadratures_know_the_moments_of_a_standard_normal_variable(quadrature):
    noise, weights = quadrature
    moments = [weights @ noise**k for k in range(7)]
    np.testing.assert_allclose(moments, [1, 0, 1, 0, 3, 0, 15], atol=1e-9)


def test_beliefs_are_a_martingale_once_the_hazard_is_counted():
    """E[p_{n+1} | p_n] = p_n (1 − h), the expectation taken over the next mode and signal."""
    game = hidden_game(hazard=0.2, shift=1.5)
    grid = np.linspace(-30, 30, 2401)
    expected = Expectations(game, grid, *gauss_hermite(64))(np.tile(expit(grid), (2, 1)))
    believed = expit(grid)
    mixed = (1 - believed) * expected[0] + believed * expected[1]
    np.testing.assert_allclose(mixed, 0.8 * believed, atol=1e-8)


def test_carrying_forward_is_the_transpose_of_expecting():
    expect = Expectations(hidden_game(hazard=0.2, shift=1.5), np.linspace(-12, 12, 301), *gauss_hermite(16))
    reached, values = np.random.default_rng(0).random((2, 2, 301))
    assert (expect.forward(reached) * values).sum() == pytest.approx(
        (reached * expect(values)).sum(), rel=1e-12
    )
