"""Policies on cells of a box of states, as kernels read them and search for them.

A cell's coefficient is a plane over the cell, the one of several that leaves the least to gain in the worst
of five of the cell's states; so it keeps away from edges by what the cell is wide. Costs are those of playing
the rest of the game by the rules, in the single precision of observations and actions, against policies that
the successors play exactly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mesa_env import numerics
from mesa_env.numerics import Array, Integers, compiled, compiled_anew

_SECTIONS = 24
_BEND, _DEPTH = 0.01, 5  # by how much a cost bends between proposals that are searched between, and how deep
_SEARCHES = 150  # intervals that are halved for one state
_MINIMA = 3  # local minima of the mean cost that are refined


class Cells(NamedTuple):
    """Trees of cells, one for each episode, whose root is the unit square.

    A cell that is split has its two halves at `children` and the next; a leaf has 0 there.
    """

    sides: Integers  # which side a cell is split across, shape (T, M)
    children: Integers
    planes: Array  # coefficient at the center, and its change across and along, shape (T, M, 3)
    bound: float


class Rules(NamedTuple):
    """What kernels need of a game beside its cells; games add what is their own in `table` and `numbers`."""

    rates: Array  # up to the last training episode, (T,)
    points: Array  # five points of a cell, low or high across and along and its center, (5, 2)
    lengths: Array  # K_n from each of these episodes on, and from deployment on, (T + 1,), if γ is fixed
    numbers: tuple[float, ...]
    table: Array


@compiled
def single(value: float) -> float:
    """A number as observations and actions show it, in single precision."""
    return float(np.float32(value))


@compiled
def read(cells: Cells, n: int, u: float, v: float) -> float:
    """The coefficient of episode n at a point of the unit square."""
    node = 0
    while cells.children[n, node]:
        child = cells.children[n, node]
        if cells.sides[n, node] == 0:
            u *= 2
            if u >= 1:
                u, child = u - 1, child + 1
        else:
            v *= 2
            if v >= 1:
                v, child = v - 1, child + 1
        node = child
    across, along = u - 0.5, v - 0.5
    plane = cells.planes[n, node]
    return single(min(max(plane[0] + plane[1] * across + plane[2] * along, -cells.bound), cells.bound))


def cell_evaluator(cost: Callable[..., float], state_at: Callable[..., Any]) -> Callable[..., None]:
    """A compiled search for the best coefficients of cells.

    `cost(c, rules, cells, n, x, y)` is J_n in the state (x, y), and `state_at(rules, n, u, v)` that state and
    the unit in which costs count. The search writes each cell's plane and the most that it leaves to gain.
    """
    mean_cost = _mean_cost_of(cost)
    least_cost = _least_cost_of(mean_cost)
    least_between = _least_between_of(mean_cost, least_cost)

    @compiled_anew
    def evaluate(
        rules: Rules, cells: Cells, n: int, boxes: Array, grid: Array, planes: Array, regrets: Array
    ) -> None:
        xs, ys, units, own, least = np.empty(5), np.empty(5), np.empty(5), np.empty(5), np.empty(5)
        costs = np.empty((5, len(grid)))
        for i in range(len(boxes)):
            left, right, low, high = boxes[i]
            for p in range(5):
                u = left + rules.points[p, 0] * (right - left)
                v = low + rules.points[p, 1] * (high - low)
                xs[p], ys[p], units[p] = state_at(rules, n, u, v)
                for k in range(len(grid)):
                    costs[p, k] = cost(grid[k], rules, cells, n, xs[p], ys[p]) / units[p]
                here = (rules, cells, n, xs[p : p + 1], ys[p : p + 1], units[p : p + 1])
                own[p], least[p] = least_between(here, grid, costs[p])
            tried, rest = _candidates(own, rules.points), costs.sum(axis=0)
            for j in range(_MINIMA):
                k = int(rest.argmin())
                tried[j, 0], _ = least_cost((rules, cells, n, xs, ys, units), grid, rest)
                rest[max(k - 2, 0) : k + 3] = np.inf
            regrets[i] = np.inf
            for plane in tried:
                worst = 0.0
                for p in range(5):
                    across, along = rules.points[p] - 0.5
                    c = min(max(plane[0] + plane[1] * across + plane[2] * along, grid[0]), grid[-1])
                    worst = max(worst, cost(c, rules, cells, n, xs[p], ys[p]) / units[p] - least[p])
                if worst < regrets[i]:
                    planes[i], regrets[i] = plane, worst

    return evaluate


def _mean_cost_of(cost: Callable[..., float]) -> Callable[..., float]:
    @compiled_anew
    def mean_cost(c: float, rules: Rules, cells: Cells, n: int, xs: Array, ys: Array, units: Array) -> float:
        total = 0.0
        for p in range(len(xs)):
            total += cost(c, rules, cells, n, xs[p], ys[p]) / units[p]
        return total

    return mean_cost


def _least_cost_of(mean_cost: Callable[..., float]) -> Callable[..., tuple[float, float]]:
    section = numerics.golden_section(mean_cost)

    @compiled_anew
    def least_cost(arguments: Any, grid: Array, costs: Array) -> tuple[float, float]:
        """The local minimum around the least of the costs on a grid."""
        k, last = int(costs.argmin()), len(grid) - 1
        c, lowest = section(arguments, grid[max(k - 1, 0)], grid[min(k + 1, last)], _SECTIONS)
        return (grid[k], costs[k]) if costs[k] <= lowest else (c, lowest)

    return least_cost


def _least_between_of(
    mean_cost: Callable[..., float], least_cost: Callable[..., tuple[float, float]]
) -> Callable[..., tuple[float, float]]:
    section = numerics.golden_section(mean_cost)

    @compiled_anew
    def least_between(arguments: Any, grid: Array, costs: Array) -> tuple[float, float]:
        """As `least_cost`, and between proposals where the cost bends: it may have a dip before a jump."""
        best, lowest = least_cost(arguments, grid, costs)
        ends, depth = np.empty((_DEPTH + 2, 4)), np.empty(_DEPTH + 2, dtype=np.int64)
        width, left = 0.0, _SEARCHES
        for k in range(len(grid) - 1):
            ends[0, 0], ends[0, 1], ends[0, 2], ends[0, 3] = grid[k], costs[k], grid[k + 1], costs[k + 1]
            depth[0], count = 0, 1
            while count:
                count -= 1
                low, cost_low, high, cost_high = ends[count]
                level, middle = depth[count], (low + high) / 2
                found = mean_cost(middle, *arguments)
                bend = abs(found - (cost_low + cost_high) / 2)
                if found < lowest:
                    lowest, best, width = found, middle, (high - low) / 2
                promise = min(cost_low, cost_high, found) - 3 * bend
                if level < _DEPTH and left and bend > _BEND and promise < lowest:
                    left -= 1
                    ends[count, 2], ends[count, 3] = middle, found
                    ends[count + 1, 0], ends[count + 1, 1] = middle, found
                    ends[count + 1, 2], ends[count + 1, 3] = high, cost_high
                    depth[count], depth[count + 1] = level + 1, level + 1
                    count += 2
        if width > 0:
            low, high = max(best - width, grid[0]), min(best + width, grid[-1])
            c, cost_c = section(arguments, low, high, _SECTIONS)
            if cost_c < lowest:
                best, lowest = c, cost_c
        return best, lowest

    return least_between


@compiled
def _candidates(own: Array, points: Array) -> Array:
    """Planes that a cell may take, whose first entries are still to be filled in.

    They are each point's best coefficient, and the plane through those of the outer points, shifted to either
    side by as much as the center departs from it: where it follows an edge, one side is the right one.
    """
    tried = np.zeros((_MINIMA + 10, 3))
    tried[_MINIMA : _MINIMA + 5, 0] = own
    across = points[1, 0] + points[3, 0] - points[0, 0] - points[2, 0]
    along = points[2, 1] + points[3, 1] - points[0, 1] - points[1, 1]
    center = own[:4].mean()
    for j in range(5):
        plane = tried[_MINIMA + 5 + j]
        plane[0] = center + (j - 1) * (own[4] - center)
        plane[1] = (own[1] + own[3] - own[0] - own[2]) / across
        if along > 0:
            plane[2] = (own[2] + own[3] - own[0] - own[1]) / along
    return tried


@compiled
def read_all(cells: Cells, rates: Array, episode: Integers, us: Array, vs: Array) -> Array:
    """Coefficients of episodes at points of the unit square, elementwise; 1, or the bound, in deployment."""
    coefficients = np.empty(len(us))
    for i in range(len(us)):
        coefficients[i] = min(1.0, cells.bound)
        if episode[i] < len(rates) and rates[episode[i]] > 0:
            coefficients[i] = read(cells, episode[i], us[i], vs[i])
    return coefficients
