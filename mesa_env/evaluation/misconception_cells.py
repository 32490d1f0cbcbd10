"""Cells of the game with a misconception: intervals of the angle of (θ, b), or boxes of angle and size.

Everything is homogeneous in (θ, b) until the projection of either binds. Where none does, an angle says all,
and costs are weighed at the size with which the game begins; along paths they are weighed at the size that is
reached. Where goals or beliefs may be projected, the size matters too.
"""

import math

import numpy as np

from mesa_env import numerics
from mesa_env.agent import GameAgent
from mesa_env.evaluation.cell_oracle import CellOracle
from mesa_env.evaluation.certificates import starts
from mesa_env.evaluation.trajectory import map_states, play_from
from mesa_env.numerics import Array, compiled
from mesa_env.rules.misconception import Misconception
from mesa_env.solutions.cells import Cells, Rules, cell_evaluator, read, single

_OFFERS = 41  # actions that are asked whether they lead to a projection
_LEAST_SHARE = 0.01  # of the square of goal and belief, in which costs count at least
_POINTS = np.array([[0.001, 0.5], [0.999, 0.5], [0.26, 0.5], [0.74, 0.5], [0.5, 0.5]])
_CORNERS = np.array([[0.01, 0.01], [0.99, 0.01], [0.01, 0.99], [0.99, 0.99], [0.5, 0.5]])


@compiled
def _place(goal: float, belief: float, scale: float, bound: float) -> tuple[float, float]:
    """The angle as a share of half a turn, the same for both signs of the pair, and a measure of its size.

    Sizes are closest together around 0.
    """
    goal, belief = single(goal), single(belief)
    size, largest = math.hypot(goal, belief), math.sqrt(2.0) * bound
    share = min(size / (size + scale) * (largest + scale) / largest, 1.0)
    return math.atan2(belief, goal) / math.pi % 1.0, share


@compiled
def _state_at(rules: Rules, n: int, u: float, v: float) -> tuple[float, float, float]:
    """Goal and belief at a point of the unit square, and the unit of costs there."""
    bound, size = rules.numbers[4], rules.numbers[5]
    if rules.points[0, 1] != rules.points[4, 1]:
        share = v * math.sqrt(2.0) * bound / (math.sqrt(2.0) * bound + size)
        size *= share / (1 - share)
    goal, belief = size * math.cos(math.pi * u), size * math.sin(math.pi * u)
    goal, belief = min(max(goal, -bound), bound), min(max(belief, -bound), bound)
    return goal, belief, rules.lengths[n] * max(goal * goal, _LEAST_SHARE * size * size)


@compiled
def _cost(c: float, rules: Rules, cells: Cells, n: int, goal: float, belief: float) -> float:
    """J_n of a coefficient by the rules, successors playing their cells."""
    ratio, regularization, discount, most, bound, scale = rules.numbers
    judge, weight, total, trained = goal, 1.0, 0.0, len(rules.rates)
    c = single(c)
    for k in range(n, trained + 1):
        eta = rules.rates[k] if k < trained else 0.0
        if k > n:
            c = min(1.0, most)
            if eta > 0:
                u, v = _place(goal, belief, scale, bound)
                c = read(cells, k, u, v)
        y = c * goal + (1 - c) * belief
        total += weight * (rules.lengths[k] if k == trained else 1.0) * (y - judge) ** 2
        goal -= 2 * eta * (y * c + regularization * goal)
        belief -= 2 * eta * ratio * y * (1 - c)
        goal, belief = min(max(goal, -bound), bound), min(max(belief, -bound), bound)
        weight *= discount
    return total


@compiled
def _places(goals: Array, beliefs: Array, scale: float, bound: float) -> tuple[Array, Array]:
    us, vs = np.empty_like(goals), np.empty_like(goals)
    for i in range(len(goals)):
        us[i], vs[i] = _place(goals[i], beliefs[i], scale, bound)
    return us, vs


_evaluate = cell_evaluator(_cost, _state_at)


def can_reach_bound(game: Misconception, agent: GameAgent) -> bool:
    """Whether some action on the agent's paths leads goal or belief to its bound."""
    offers = np.linspace(-game.coefficient_bound, game.coefficient_bound, _OFFERS)[:, None]
    for state in play_from(game, agent, game.start(starts(game)[0])).states:
        every = map_states(lambda values: np.repeat(values, _OFFERS), state)
        after, _ = game.play(every, np.tile(offers, (len(state.goal), 1)))
        if (np.maximum(np.abs(after.goal), np.abs(after.extra.belief)) >= game.goal_bound).any():
            return True
    return False


class MisconceptionCells(CellOracle):
    """Plays cells of the game with a misconception, which tell sizes apart where they are `sized`."""

    game: Misconception
    _cost = staticmethod(_cost)
    _evaluate = staticmethod(_evaluate)

    def __init__(self, game: Misconception, cells: int = 500, sized: bool = False) -> None:
        """Solve with up to so many cells in each episode, and those that the paths need."""
        self._sized = sized
        self._scale = float(max(np.abs(game.initial_goal).max(), np.abs(game.initial_belief).max())) or 1.0
        super().__init__(game, cells)

    def _rules(self) -> Rules:
        game = self.game
        trained = int(np.flatnonzero(game.training).max(initial=-1)) + 1
        lengths = numerics.discounted_lengths(game.discount, game.episodes)[: trained + 1]
        numbers = game.belief_learning_rate, game.regularization, game.discount, game.coefficient_bound
        rates, points = game.learning_rates[:trained], _CORNERS if self._sized else _POINTS
        return Rules(rates, points, lengths, (*numbers, game.goal_bound, self._scale), np.zeros((1, 1)))

    def _places(self, goal: Array, beside: Array) -> tuple[Array, Array]:
        return _places(goal, beside, self._scale, self.game.goal_bound)
