"""Oracles on cells: what is tried where best responses jump and tables do not converge.

Where best responses jump, agents steer for the very edge of their successors' jumps, and a table that is
interpolated promises them what no successor will do. Here a table promises nothing: agents weigh what their
successors will play exactly (`mesa_env.solutions.cells`). Cells that leave the most to gain are split in two,
until none leaves more than a tolerance, or there are as many as allowed. Then the game is played and audited,
and the cells around the states of its path are split until the path leaves nothing to gain, for a number of
rounds, of which the best is kept. Off the path, cells may leave much to gain: such an oracle is an
equilibrium on its path, against successors that are known and need not be best.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from mesa_env import numerics
from mesa_env.evaluation.audits import audit_by_simulation
from mesa_env.evaluation.certificates import dense_search, starts
from mesa_env.evaluation.trajectory import Trajectory, play_from
from mesa_env.numerics import Array, Integers
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.cells import Cells, Rules, read, read_all
from mesa_env.solutions.paths import Planner

_PROPOSALS, _FINE = 161, 1001  # coefficients that are tried in every state of a cell: elsewhere, along paths
_DEEPEST = 20  # splits of a cell across each side: deeper ones leave dips too narrow to be found
_TOLERANCE = 1e-4  # share of the cost of silence that cells and paths may leave to gain
_SPLIT_AT_ONCE = 64
_PATHS, _IN_VAIN = 40, 12  # rounds of splitting along a path, and of those that may gain nothing


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
        episodes, two_sided = len(rules.rates), bool(np.ptp(rules.points[:, 1]))
        room = 2 * most + 400 * _PATHS
        self.rules, self._cost, self._evaluate, self._tolerance = rules, cost, evaluate, tolerance
        self.cells = Cells(
            np.zeros((episodes, room), dtype=np.int64),
            np.zeros((episodes, room), dtype=np.int64),
            np.zeros((episodes, room, 3)),
            bound,
        )
        # Cells are split across their longer side, unless the other one does not matter.
        self._stretch, self._deepest = (1.0, 2 * _DEEPEST) if two_sided else (np.inf, _DEEPEST)
        self._grid = np.linspace(-bound, bound, _PROPOSALS)
        self._fine = np.linspace(-bound, bound, _FINE)
        self._count = np.ones(episodes, dtype=np.int64)
        self._boxes = np.empty((episodes, room, 4))
        self._regrets, self._depths = np.zeros((episodes, room)), np.zeros((episodes, room), dtype=np.int64)
        self._boxes[:, 0] = 0, 1, 0, 1
        for n in reversed(np.flatnonzero(rules.rates)):
            self._solve(n, np.zeros(1, dtype=np.int64))
            while self._count[n] < most and (open_ := self._worst(n)).size:
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

    def snapshot(self) -> Cells:
        """A copy of the cells as they are."""
        return self.cells._replace(**{name: getattr(self.cells, name).copy() for name in Cells._fields[:3]})

    def forget(self, n: int, before: Cells) -> None:
        """Give an episode the cells that it had."""
        for name in Cells._fields[:3]:
            getattr(self.cells, name)[n] = getattr(before, name)[n]

    def refine(self, n: int, state: tuple[float, float], place: tuple[float, float], better: float) -> None:
        """Split the cell of a state until it leaves nothing to gain, or `better` is no better there."""
        node, here = self._leaf(n, place), (self.rules, self.cells, n, *state)
        self._solve(n, np.array([node]), self._fine)  # successors may have changed
        while self._regrets[n, node] > self._tolerance / 10 and self._can_split(n, node):
            self._split(n, np.array([node]), self._fine)
            node = self._leaf(n, place)
        gain = self._cost(float(read(self.cells, n, *place)), *here) - self._cost(better, *here)
        if gain > self._tolerance / 1000 * self._cost(0.0, *here):
            while self._can_split(n, node):
                self._split(n, np.array([node]), self._fine)
                node = self._leaf(n, place)
            self.cells.planes[n, node] = better, 0.0, 0.0

    def _can_split(self, n: int, node: int) -> bool:
        room = self._count[n] + 2 < self.cells.planes.shape[1]
        return bool(room and self._depths[n, node] < self._deepest)

    def _leaf(self, n: int, place: tuple[float, float]) -> int:
        node, at = 0, list(place)
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

    def __init__(self, game: ScalarGame, cells: int = 500) -> None:
        """Solve with up to so many cells in each episode, and those that the paths need."""
        super().__init__(game)
        bound, kernels = float(game.action_bound[0]), (self._cost, self._evaluate)
        self.policy = CellPolicy(self._rules(), *kernels, bound, cells, _TOLERANCE)
        solved, least, kept, best = self.policy.snapshot(), np.inf, self.policy.cells, 0
        for at in range(_PATHS):
            played = play_from(game, self, game.start(starts(game)[0]))
            for share in (0.1, 1.0):
                search = dense_search(len(played.goals), share)
                audited = audit_by_simulation(game, self, played, **search)
                if audited.relative.max() > _TOLERANCE:
                    break
            gain = float(audited.relative.max())
            if gain < least:
                least, kept, best = gain, self.policy.snapshot(), at
            if least <= _TOLERANCE or at - best >= _IN_VAIN:
                break
            self._refine(played, audited.best, solved)
        self.policy.cells = kept

    def _refine(self, played: Trajectory, better: Array, solved: Cells) -> None:
        """Split cells along paths, from their last training episode backwards."""
        self.policy.forget(0, solved)  # no path but those that are played comes by the first cells again
        for n in reversed(np.flatnonzero(self.policy.rules.rates).tolist()):
            goals, beside = played.states[n].goal, played.states[n].extra[0]
            states, places = np.stack([goals, beside], axis=1), np.stack(self._places(goals, beside), axis=1)
            for row, (state, place) in enumerate(zip(states.tolist(), places.tolist(), strict=True)):
                self.policy.refine(n, tuple(state), tuple(place), float(better[row, n]))

    def coefficients(self, episode: Integers, goal: Array, beside: Array) -> Array:
        """Coefficients in the states (n, θ, and belief or discount), each of shape (B,)."""
        return read_all(self.policy.cells, self.policy.rules.rates, episode, *self._places(goal, beside))

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
