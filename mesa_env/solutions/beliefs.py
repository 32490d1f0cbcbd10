"""Functions of what agents believe or see, on an even grid, and their expectations over the next signal."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.special import roots_hermitenorm

from mesa_env.numerics import Array, Integers, cubic_stencil, weighted_neighbors
from mesa_env.rules.hidden_deployment import HiddenDeployment


class Table(NamedTuple):
    """A policy c_n, or another function of episode and log-odds or signal, on a grid.

    It is read by cubic interpolation, and is constant beyond the ends of the grid.
    """

    at: Array  # log-odds, or signals, in even steps, shape (M,)
    values: Array  # values at each of them, shape (N, M)

    def read(self, episode: Integers, at: Array) -> Array:
        """Values in `episode` at any log-odds or signals; both of one shape, as is the result."""
        first, weights = _stencil(self.at, at)
        return np.asarray(weighted_neighbors(self.values.ravel(), episode * len(self.at) + first, weights))


class Expectations:
    """Expectations over the next episode's mode and signal, of functions of mode and log-odds on a grid.

    `noise` and `weights` are the nodes of the noise in the next signal and their probabilities.
    """

    def __init__(self, game: HiddenDeployment, grid: Array, noise: Array, weights: Array) -> None:
        self.hazard = game.hazard
        forecast = game.forecast(grid)[:, None]
        signals = noise, game.shift + noise
        self.matrices = [_averages(grid, game.update(forecast, signal), weights) for signal in signals]

    def __call__(self, values: Array) -> Array:
        """E[values(z', l') | z, l]; both of shape (2, M), by mode and log-odds."""
        deployed, trained = (self.matrices[z] @ values[z] for z in range(2))
        return np.stack([deployed, self.hazard * deployed + (1 - self.hazard) * trained])

    def forward(self, reached: Array) -> Array:
        """The distribution over next modes and log-odds, from that over present ones; both (2, M)."""
        ended = reached[0] + self.hazard * reached[1]
        return np.stack([self.matrices[0].T @ ended, self.matrices[1].T @ ((1 - self.hazard) * reached[1])])


def gauss_hermite(nodes: int) -> tuple[Array, Array]:
    """Gauss–Hermite nodes and weights of a standard normal variable."""
    noise, weights = roots_hermitenorm(nodes)
    return noise, weights / weights.sum()


def trapezoid(nodes: int) -> tuple[Array, Array]:
    """Nodes in even steps on ±9, and weights, of a standard normal variable."""
    noise = np.linspace(-9, 9, nodes)
    weights = np.exp(-noise * noise / 2)
    return noise, weights / weights.sum()


def _averages(grid: Array, at: Array, weights: Array) -> csr_array:
    """The matrix that maps values on the grid, (M,), to averages over each row of points `at`, (M, Q)."""
    first, shares = _stencil(grid, at)
    columns = np.stack([first + k for k in range(4)], axis=-1)
    entries = np.stack(shares, axis=-1) * weights[:, None]
    starts = np.arange(len(at) + 1) * entries[0].size
    return csr_array((entries.ravel(), columns.ravel(), starts), shape=(len(at), len(grid)))


def _stencil(grid: Array, at: Array) -> tuple[Integers, tuple[Array, Array, Array, Array]]:
    """Index of the first of four neighbors on an even grid, and the weights of the four."""
    cells, low, high = len(grid) - 1, grid[0], grid[-1]
    first, weights = cubic_stencil((np.clip(at, low, high) - low) / ((high - low) / cells), cells)
    return first, weights
