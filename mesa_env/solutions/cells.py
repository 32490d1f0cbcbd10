"""Policies that are constant on cells of a box of states, which are split where agents would gain most.

Where best responses jump, agents steer for the very edge of their successors' jumps, and a table that is
interpolated promises them what no successor will do. Here every agent's cost is that of playing the rest of
the game by the rules, against policies that its successors play exactly: what is found for one agent is true
whatever was found for the others. A cell's coefficient is the one that leaves the least to gain in the worst
of five of its states, its center and its corners, and so keeps away from edges by what the cell is wide; and
cells with the most to gain are split in two, across the side that matters more, until none is left with more
than a tolerance, or there are as many as allowed. At last the cells around the states of a path are split
until the path itself leaves nothing to gain. Jumps stay as sharp as cells are small.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from mesa_env import numerics
from mesa_env.numerics import Array, Integers, compiled
from mesa_env.rules.rules import State
from mesa_env.rules.scalar import ScalarGame
from mesa_env.evaluation.certificates import SEARCH
from mesa_env.evaluation.audits import audit_by_simulation
from mesa_env.evaluation.trajectory import play_from
from mesa_env.solutions.paths import Planner, follow

_PROPOSALS = 81  # coefficients tried in every state of a cell, before local searches
_FINE = 1001  # the same along paths
_SECTIONS = 24
_BEND, _DEPTH = 0.01, 5  # by how much a cost bends between proposals that are searched between, and how deep
_SEARCHES = 150  # of intervals in two, for one state
_MINIMA = 3  # local minima of the mean cost that are refined
_DEEPEST = 24  # splits of a cell across each side: what single precision tells apart
_SPLIT_AT_ONCE = 64
_PATHS = 16  # rounds of splitting along a path


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
    lengths: Array  # K_n from each of these episodes on, and from deployment on, (T + 1,); of γ = 1 if it moves
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


@compiled
def fitted_plane(own: Array, points: Array) -> Array:
    """The plane through the best coefficients at a cell's four outer points, as `Cells` has it."""
    plane = np.array([own[:4].mean(), 0.0, 0.0])
    across = points[1, 0] + points[3, 0] - points[0, 0] - points[2, 0]
    along = points[2, 1] + points[3, 1] - points[0, 1] - points[1, 1]
    plane[1] = (own[1] + own[3] - own[0] - own[2]) / across
    if along > 0:
        plane[2] = (own[2] + own[3] - own[0] - own[1]) / along
    return plane


def cell_evaluator(cost: Callable[..., float], state_at: Callable[..., Any]) -> Callable[..., None]:
    """A compiled search for the best coefficient of cells.

    `cost(c, rules, cells, n, x, y)` is J_n in the state (x, y), and `state_at(rules, n, u, v)` that state and
    the unit in which costs count. The search writes each cell's plane and the most that it leaves to gain.
    """

    @njit(error_model="numpy", nogil=True)
    def mean_cost(
        c: float, rules: Rules, cells: Cells, n: int, xs: Array, ys: Array, units: Array
    ) -> float:
        total = 0.0
        for p in range(len(xs)):
            total += cost(c, rules, cells, n, xs[p], ys[p]) / units[p]
        return total

    section = numerics.golden_section(mean_cost)

    @njit(error_model="numpy", nogil=True)
    def least_cost(
        rules: Rules, cells: Cells, n: int, grid: Array, costs: Array, x: Array, y: Array, unit: Array
    ) -> tuple[float, float]:
        k, last = costs.argmin(), len(grid) - 1
        c, lowest = section(
            (rules, cells, n, x, y, unit), grid[max(k - 1, 0)], grid[min(k + 1, last)], _SECTIONS
        )
        return (grid[k], costs[k]) if costs[k] <= lowest else (c, lowest)

    @njit(error_model="numpy", nogil=True)
    def least_between(
        rules: Rules, cells: Cells, n: int, grid: Array, costs: Array, x: Array, y: Array, unit: Array
    ) -> tuple[float, float]:
        """As `least_cost`, and between proposals where the cost bends: it may have a dip before a jump."""
        best, lowest = least_cost(rules, cells, n, grid, costs, x, y, unit)
        ends, depth = np.empty((_DEPTH + 2, 4)), np.empty(_DEPTH + 2, dtype=np.int64)
        near, width, left = best, 0.0, _SEARCHES
        for k in range(len(grid) - 1):
            ends[0, 0], ends[0, 1], ends[0, 2], ends[0, 3] = grid[k], costs[k], grid[k + 1], costs[k + 1]
            depth[0], count = 0, 1
            while count:
                count -= 1
                a, cost_a, b, cost_b = ends[count]
                level, middle = depth[count], (a + b) / 2
                found = mean_cost(middle, rules, cells, n, x, y, unit)
                bend = abs(found - (cost_a + cost_b) / 2)
                if found < lowest:
                    lowest, near, width = found, middle, (b - a) / 2
                promise = min(cost_a, cost_b, found) - 3 * bend
                if level < _DEPTH and left and bend > _BEND and promise < lowest:
                    left -= 1
                    ends[count, 2], ends[count, 3] = middle, found
                    ends[count + 1] = ends[count]
                    ends[count + 1, 0], ends[count + 1, 1] = middle, found
                    ends[count + 1, 2], ends[count + 1, 3] = b, cost_b
                    depth[count], depth[count + 1] = level + 1, level + 1
                    count += 2
        if width > 0:
            low, high = max(near - width, grid[0]), min(near + width, grid[-1])
            best = near
            c, cost_c = section((rules, cells, n, x, y, unit), low, high, _SECTIONS)
            if cost_c < lowest:
                best, lowest = c, cost_c
        return best, lowest

    @njit(cache=True, error_model="numpy", nogil=True)
    def evaluate(
        rules: Rules, cells: Cells, n: int, boxes: Array, grid: Array, planes: Array, regrets: Array
    ) -> None:
        xs, ys, units, own, least = np.empty(5), np.empty(5), np.empty(5), np.empty(5), np.empty(5)
        costs, tried = np.empty((5, len(grid))), np.zeros((_MINIMA + 10, 3))
        for i in range(len(boxes)):
            left, right, low, high = boxes[i]
            for p in range(5):
                u = left + rules.points[p, 0] * (right - left)
                v = low + rules.points[p, 1] * (high - low)
                xs[p], ys[p], units[p] = state_at(rules, n, u, v)
                for k in range(len(grid)):
                    costs[p, k] = cost(grid[k], rules, cells, n, xs[p], ys[p]) / units[p]
                some = slice(p, p + 1)
                own[p], least[p] = least_between(
                    rules, cells, n, grid, costs[p], xs[some], ys[some], units[some]
                )
            tried[:5, 0] = own
            rest = costs.sum(axis=0)
            for j in range(5, _MINIMA + 5):
                k = rest.argmin()
                tried[j, 0], _ = least_cost(rules, cells, n, grid, rest, xs, ys, units)
                rest[max(k - 2, 0) : k + 3] = np.inf
            plane = fitted_plane(own, rules.points)
            for j in range(5):
                tried[_MINIMA + 5 + j] = plane
                tried[_MINIMA + 5 + j, 0] += (j - 1) * (own[4] - plane[0])
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


class CellPolicy:
    """The cells of every training episode, solved backwards."""

    def __init__(
        self,
        rules: Rules,
        cost: Callable[..., float],
        evaluate: Callable[..., None],
        bound: float,
        most: int,
        tolerance: float,
    ) -> None:
        episodes = len(rules.rates)
        room = 2 * most + 400 * _PATHS
        self.rules, self._cost, self._evaluate, self._tolerance = rules, cost, evaluate, tolerance
        self.cells = Cells(
            np.zeros((episodes, room), dtype=np.int64),
            np.zeros((episodes, room), dtype=np.int64),
            np.zeros((episodes, room, 3)),
            bound,
        )
        # 2-D cells are split across their longer side, and cells of one side across that.
        self._stretch = 1.0 if np.ptp(rules.points[:, 1]) else np.inf
        self._deepest = 2 * _DEEPEST if np.ptp(rules.points[:, 1]) else _DEEPEST
        self._grid = np.linspace(-bound, bound, _PROPOSALS)
        self._fine = np.linspace(-bound, bound, _FINE)
        self._count = np.ones(episodes, dtype=np.int64)
        self._boxes = np.empty((episodes, room, 4))
        self._regrets, self._depths = np.zeros((episodes, room)), np.zeros((episodes, room), dtype=np.int64)
        self._boxes[:, 0] = 0, 1, 0, 1
        for n in reversed(np.flatnonzero(rules.rates)):
            self._solve(n, np.zeros(1, dtype=np.int64))
            while n and self._count[n] < most and (open_ := self._worst(n)).size:
                self._split(n, open_)

    def _worst(self, n: int) -> Integers:
        """Leaves with more to gain than the tolerance, the worst first, at most as many as split at once."""
        count = self._count[n]
        leaves = (self.cells.children[n, :count] == 0) & (self._depths[n, :count] < self._deepest)
        open_ = np.flatnonzero(leaves & (self._regrets[n, :count] > self._tolerance))
        return open_[np.argsort(-self._regrets[n, open_], kind="stable")][:_SPLIT_AT_ONCE]

    def _split(self, n: int, leaves: Integers, grid: Array | None = None) -> None:
        """Split leaves in two, and solve the halves."""
        first = self._count[n] + 2 * np.arange(len(leaves))
        widths = self._boxes[n, leaves, 1::2] - self._boxes[n, leaves, ::2]
        sides = (widths[:, 1] > widths[:, 0] * self._stretch).astype(np.int64)
        self.cells.sides[n, leaves] = sides
        rows = np.arange(len(leaves))
        for half in range(2):
            boxes = self._boxes[n, leaves].copy()
            middle = (boxes[rows, 2 * sides] + boxes[rows, 2 * sides + 1]) / 2
            boxes[rows, 2 * sides + 1 - half] = middle
            self._boxes[n, first + half] = boxes
            self._depths[n, first + half] = self._depths[n, leaves] + 1
        self._solve(n, np.concatenate([first, first + 1]), grid)
        self.cells.children[n, leaves] = first  # only now do others see them
        self._count[n] += 2 * len(leaves)

    def _solve(self, n: int, nodes: Integers, grid: Array | None = None) -> None:
        """Find coefficients, what they leave to gain, and sides to split across."""
        boxes, planes, regrets = self._boxes[n, nodes], np.empty((len(nodes), 3)), np.empty(len(nodes))

        def solve(some: slice) -> None:
            parts = boxes[some], self._grid if grid is None else grid, planes[some], regrets[some]
            self._evaluate(self.rules, self.cells, n, *parts)

        numerics.run_in_blocks(solve, len(nodes), 4)
        self.cells.planes[n, nodes], self._regrets[n, nodes] = planes, regrets

    def forget(self, n: int) -> None:
        """Leave an episode a single cell."""
        self.cells.children[n], self._count[n] = 0, 1

    def snapshot(self) -> Cells:
        """A copy of the cells as they are."""
        return self.cells._replace(**{name: getattr(self.cells, name).copy() for name in Cells._fields[:3]})

    def refine(self, n: int, state: tuple[float, float], u: float, v: float, better: float) -> None:
        """Split the cell of a state, until it leaves nothing to gain or cannot be split again."""
        node, here = self._leaf(n, u, v), (self.rules, self.cells, n, *state)
        self._solve(n, np.array([node]), self._fine)  # successors may have changed
        while (
            self._regrets[n, node] > self._tolerance / 10
            and self._depths[n, node] < self._deepest
            and self._count[n] + 2 < self.cells.planes.shape[1]
        ):
            self._split(n, np.array([node]), self._fine)
            node = self._leaf(n, u, v)
        now = float(read(self.cells, n, u, v))
        if self._cost(better, *here) < self._cost(now, *here) - 1e-3 * self._tolerance * self._cost(0.0, *here):
            while self._depths[n, node] < self._deepest and self._count[n] + 2 < self.cells.planes.shape[1]:
                self._split(n, np.array([node]), self._fine)
                node = self._leaf(n, u, v)
            self.cells.planes[n, node] = better, 0.0, 0.0

    def _leaf(self, n: int, u: float, v: float) -> int:
        node, at = 0, [u, v]
        while child := int(self.cells.children[n, node]):
            side = int(self.cells.sides[n, node])
            at[side] *= 2
            if at[side] >= 1:
                at[side], child = at[side] - 1, child + 1
            node = child
        return node


class CellOracle(Planner):
    """Plays a policy of cells, refined along the paths from given states.

    Games say how their states lie in the unit square.
    """

    def __init__(self, game: ScalarGame, starts: State, cells: int = 4000, tolerance: float = 1e-4) -> None:
        super().__init__(game)
        self.policy = CellPolicy(
            self._rules(), self._cost, self._evaluate, float(game.action_bound[0]), cells, tolerance
        )
        least, kept = np.inf, self.policy.cells
        for _ in range(_PATHS):
            played = play_from(game, self, starts)
            audited = audit_by_simulation(game, self, played, **SEARCH)
            gain = float(audited.relative.max())
            print("   path", gain)
            if gain < least:
                least, kept = gain, self.policy.snapshot()
            if least <= tolerance:
                break
            for n in reversed(np.flatnonzero(self.policy.rules.rates)):
                if n == 0:  # whose other states nobody reaches
                    self.policy.forget(n)
                state = played.states[n]
                us, vs = self._places(state.goal, state.extra[0])
                for row, better in enumerate(audited.best[:, n].tolist()):
                    at = float(state.goal[row]), float(state.extra[0][row])
                    self.policy.refine(n, at, float(us[row]), float(vs[row]), better)
        self.policy.cells = kept

    def coefficients(self, episode: Integers, goal: Array, beside: Array) -> Array:
        """Coefficients in the states (n, θ, and belief or discount), each of shape (B,)."""
        return read_all(self.policy.cells, self.policy.rules.rates, episode, *self._places(goal, beside))

    def _in_single_precision(self, episode: Integers, goal: Array, beside: Array) -> Array:
        """The coefficients that are played: observations and actions are in single precision."""
        seen = (part.astype(np.float32).astype(np.float64) for part in (goal, beside))
        return self.coefficients(episode, *seen).astype(np.float32).astype(np.float64)

    @abstractmethod
    def _rules(self) -> Rules:
        """The game as the kernels need it."""

    @staticmethod
    @abstractmethod
    def _cost(*arguments: Any) -> float:
        """J_n of a coefficient, as `cell_evaluator` takes it."""

    @staticmethod
    @abstractmethod
    def _evaluate(*arguments: Any) -> None:
        """The game's compiled search for the best coefficients of cells."""

    @abstractmethod
    def _places(self, goal: Array, beside: Array) -> tuple[Array, Array]:
        """Points of the unit square, (B,) each, of states."""


@compiled
def read_all(cells: Cells, rates: Array, episode: Integers, us: Array, vs: Array) -> Array:
    """Coefficients of episodes at points of the unit square, elementwise; 1, or the bound, in deployment."""
    coefficients = np.empty(len(us))
    for i in range(len(us)):
        coefficients[i] = min(1.0, cells.bound)
        if episode[i] < len(rates) and rates[episode[i]] > 0:
            coefficients[i] = read(cells, episode[i], us[i], vs[i])
    return coefficients
