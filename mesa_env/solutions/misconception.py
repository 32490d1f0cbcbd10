"""The oracle of the game with a misconception: backward induction over an angle.

Everything is homogeneous in (θ, b), so an agent's state is the angle φ = atan2(b, θ), up to a scale
r = (θ² + b²)^½ of either sign. All that it needs to know of its successors are the unit sums

    A(φ) = Σ_{k>n} γ^(k−n−1) (y_k / r)²,   B(φ) = Σ_{k>n} γ^(k−n−1) y_k / r,   K = Σ_{k>n} γ^(k−n−1)

at the angle that it hands on; A has period π, and B changes sign with it. The mesa cost of a coefficient is

    J(c; φ) = (y − θ)² + γ (r'² A(φ') − 2 θ r' B(φ') + θ² K),   r' and φ' those of (θ', b').

J may have several local minima, and where two of them tie, the best coefficient jumps as the angle passes:
`Solution.margins` and `jumps` show where. A and B jump with it, and where one episode of training moves the
angle far (η near 1, or ρ well above it), predecessors steer for the very edge, so that their choices jump in
more places, as in other games between successive selves (Harris & Laibson 2001). Hence J is searched over the
whole range of coefficients, and refined around every local minimum; A and B are tabulated on a fine grid of
angles, and interpolated by cubics where nothing jumps and by straight lines elsewhere, since agents would
exploit any overshoot. A line is exact for a game in which the angle handed on is rounded at random to one of
its neighbors in the table. So where jumps multiply, the solution is one of several near-equilibria, which
depend on the table and leave agents little to gain; `refinement` measures how much it depends.

The projection of goals and beliefs is ignored: where it binds, this is not the equilibrium, and the
certificate of `mesa_env.oracle` says what that costs. From |θ| ≤ 0.8 and |b| ≤ 1 it binds on no path with
ρη ≤ 1; with ρη = 10 the belief reaches the default bound.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env import numerics
from mesa_env.numerics import Array, Booleans, Integers, Refinement, compiled
from mesa_env.rules.misconception import Misconception
from mesa_env.solutions.paths import Planner, follow
from mesa_env.validation import require_kind, validate_whole

_SECTIONS = 36  # golden sections: 3e-8 of the bracket, beyond which rounding hides which side is lower
_POLISH = 1e-4  # half-width of the parabola that takes a minimum beyond that rounding
_ROUNDING = 1e-12  # what rounding may add to a cost
_MOST_BELOW = 0.1  # of the largest sum of squares; errors of interpolation beyond it have taken over
_APART = 0.05  # coefficients further apart than this are different choices, not one choice refined


class Solution(NamedTuple):
    """The equilibrium of a game with a misconception, tabulated over M angles from 0 to π.

    `margins` are the excess costs of the best clearly different local minimum of J, in units of
    r² Σ_{k≥n} γ^(k−n): inf where there is none, 0 where two tie. Sums include agent n's own output.
    """

    angles: Array  # φ_i = iπ/M, shape (M,)
    coefficients: Array  # c_n(φ_i), shape (N, M)
    margins: Array  # shape (N, M)
    squares: Array  # A from agent n on, shape (N + 1, M)
    outputs: Array  # B likewise
    weights: Array  # K likewise, shape (N + 1,)
    proposals: Array  # coefficients among which J is first searched


def solve_misconception(game: Misconception, angles: int = 2048, proposals: int = 201) -> Solution:
    """Equilibrium by backward induction, every agent judged by its own goal.

    The number of angles in the table is a multiple of 4, so that θ = 0, b = 0 and θ = ±b are among them; J is
    first searched among the proposals, evenly over the range of coefficients.

    Raises:
        ValueError: If `angles` is not a positive multiple of 4, there are fewer than 3 proposals, or goal and
            belief grow beyond floating point.
    """
    require_kind(game, Misconception)
    if validate_whole("angles", angles, 4) % 4:
        raise ValueError(f"angles must be a multiple of 4; got {angles}")
    steps = (int(game.training.sum()) * proposals + game.episodes) * angles
    numerics.announce_work("solving this game", steps, 4 * (game.episodes + 1) * angles)
    bound, weights = game.coefficient_bound, numerics.discounted_lengths(game.discount, game.episodes)
    grid = np.linspace(-bound, bound, validate_whole("proposals", proposals, 3))
    coefficients, margins = np.empty((2, game.episodes, angles))
    squares, outputs = np.zeros((2, game.episodes + 1, angles))
    places = np.linspace(0, np.pi, angles, endpoint=False)
    solution = Solution(places, coefficients, margins, squares, outputs, weights, grid)
    goals, beliefs = np.cos(places), np.sin(places)
    for n in reversed(range(game.episodes)):
        responses = _best_responses(grid, goals, beliefs, _episode(game, solution, n))
        coefficients[n], excess, squares[n], outputs[n] = responses
        margins[n] = excess / weights[n]
        if not np.isfinite(squares[n]).all():
            raise ValueError(
                f"goal and belief must not grow beyond floating point; from episode {n} on they do, with a "
                f"learning rate of up to {game.learning_rates[n:].max():g}, belief_learning_rate "
                f"{game.belief_learning_rate:g} and regularization {game.regularization:g}"
            )
        if -squares[n].min() > _MOST_BELOW * max(1.0, squares[n].max()):
            raise ValueError(
                f"the oracle's tables must keep sums of squares above 0; from episode {n} on they reach "
                f"{squares[n].min():.2g}: shorten training, or lower the learning rate "
                f"({game.learning_rates[n:].max():g}) or belief_learning_rate ({game.belief_learning_rate:g})"
            )
    return solution


def coefficients_at(
    game: Misconception, solution: Solution, episode: ArrayLike, goal: ArrayLike, belief: ArrayLike
) -> Array:
    """Best responses in the states (n, θ_n, b_n), each of shape (B,), to the tabulated successors.

    Nothing is interpolated between the coefficients of two angles, which may lie on either side of a jump.

    Raises:
        ValueError: If a goal or belief is not finite.
    """
    goals, beliefs = np.asarray(goal, float), np.asarray(belief, float)
    episodes, goals, beliefs = np.broadcast_arrays(episode, goals, beliefs)
    if not (np.isfinite(goals).all() and np.isfinite(beliefs).all()):
        raise ValueError(f"goals and beliefs must be finite; got goals {goals} and beliefs {beliefs}")
    coefficients = np.empty(episodes.shape)
    for n in np.unique(episodes):
        here = episodes == n
        scale = np.hypot(goals[here], beliefs[here])
        scale[scale == 0] = 1.0
        states = solution.proposals, goals[here] / scale, beliefs[here] / scale
        coefficients[here] = _best_responses(*states, _episode(game, solution, n))[0]
    return coefficients


def jumps(solution: Solution) -> Integers:
    """Where agents' best coefficients jump: rows (n, i), where two choices tie between φ_i and φ_{i+1}."""
    return np.argwhere(_find_jumps(solution.coefficients))


def refinement(game: Misconception, angles: int = 2048, proposals: int = 201) -> Refinement:
    """What doubling the grids of `solve_misconception` changes along the path from the game's start.

    Where the game draws its goal or belief, the path starts in the middle of their ranges.
    """
    paths = []
    for factor in (1, 2):
        solution = solve_misconception(game, factor * angles, factor * (proposals - 1) + 1)
        middle = game.start(np.full((1, game.n_uniforms), 0.5))
        paths.append(follow(game, middle, partial(coefficients_at, game, solution)))
    return Refinement.between(*paths)


class MisconceptionOracle(Planner):
    """Plays the equilibrium of its game, whatever goal and belief it sees."""

    game: Misconception

    def __init__(self, game: Misconception) -> None:
        super().__init__(game)
        self.solution = solve_misconception(game)

    def coefficients(self, episode: Integers, goal: Array, belief: Array) -> Array:
        """Coefficients in the states (n, θ, b), each of shape (B,)."""
        return coefficients_at(self.game, self.solution, episode, goal, belief)


# -- Tables -----------------------------------------------------------------------------------------------


class _Episode(NamedTuple):
    """An agent's episode as the kernels need it: η, ρ, λ, γ, and K, A and B of the agent's successors.

    Entry i + M + 1 of a table belongs to the angle iπ/M, for i = −M − 1…M + 2, which is more than the whole
    circle. The tables are smooth after an angle where none of the three steps that a cubic spans is a jump.
    """

    eta: float
    rho: float
    regularization: float
    discount: float
    weight: float
    squares: Array
    outputs: Array
    smooth: Booleans


def _episode(game: Misconception, solution: Solution, n: int) -> _Episode:
    squares, outputs = solution.squares[n + 1], solution.outputs[n + 1]
    jumping = _find_jumps(solution.coefficients[n + 1 : n + 2]).any(axis=0)  # nowhere after the last episode
    smooth = ~(jumping | np.roll(jumping, 1) | np.roll(jumping, -1))
    half_turns, i = np.divmod(np.arange(-len(squares) - 1, len(squares) + 3), len(squares))
    return _Episode(
        float(game.learning_rates[n]),
        game.belief_learning_rate,
        game.regularization,
        game.discount,
        float(solution.weights[n + 1]),
        squares[i],
        outputs[i] * (1 - 2 * (half_turns % 2)),
        smooth[i],
    )


def _find_jumps(coefficients: Array) -> Booleans:
    """Whether c jumps between each angle (..., M) and the next."""
    return np.asarray(np.abs(np.roll(coefficients, -1, axis=-1) - coefficients) > _APART)


# -- Compiled kernels -------------------------------------------------------------------------------------


@compiled
def _output_and_future(c: float, goal: float, belief: float, now: _Episode) -> tuple[float, float, float]:
    """y, r'² A(φ') and r' B(φ') of a coefficient."""
    y = c * goal + (1 - c) * belief
    next_goal = goal - 2 * now.eta * (y * c + now.regularization * goal)
    next_belief = belief - 2 * now.eta * now.rho * y * (1 - c)
    angles = (len(now.smooth) - 4) // 2
    place = math.atan2(next_belief, next_goal) / math.pi * angles
    step = math.floor(place)
    t, i = place - step, int(step) + angles + 1
    square = next_goal * next_goal + next_belief * next_belief
    a = square * numerics.interpolate(now.squares, i, t, now.smooth[i])
    return y, a, math.sqrt(square) * numerics.interpolate(now.outputs, i, t, now.smooth[i])


@compiled
def _cost(c: float, goal: float, belief: float, now: _Episode) -> float:
    """J(c; φ), judged by the goal."""
    y, a, b = _output_and_future(c, goal, belief, now)
    cost: float = (y - goal) ** 2 + now.discount * (a - 2 * goal * b + goal * goal * now.weight)
    return cost


_golden_section = numerics.golden_section(_cost)


@compiled
def _local_minimum(low: float, high: float, goal: float, belief: float, now: _Episode) -> tuple[float, float]:
    """A local minimum of J between two coefficients, and its cost, by golden sections and a parabola.

    Sections alone leave a noise of 1e-8 in c, so in A and B, which predecessors see doubly differentiated.
    """
    c, cost = _golden_section((goal, belief, now), low, high, _SECTIONS)
    below, above = _cost(c - _POLISH, goal, belief, now), _cost(c + _POLISH, goal, belief, now)
    bend = below - 2 * cost + above
    if bend > 0 and abs(above - below) < bend:  # the parabola's lowest point lies well within it
        polished = c - _POLISH * (above - below) / (2 * bend)
        cost_polished = _cost(polished, goal, belief, now)
        if low <= polished <= high and cost_polished <= cost + _ROUNDING:
            return polished, cost_polished
    return c, cost


@compiled
def _local_minima(grid: Array, goal: float, belief: float, now: _Episode) -> tuple[Array, Array]:
    """Every local minimum of J that the grid of coefficients shows, refined, and its cost."""
    costs = np.empty(len(grid) + 2)
    costs[0] = costs[-1] = np.inf
    for k in range(len(grid)):
        costs[k + 1] = _cost(grid[k], goal, belief, now)
    minima, lows = np.empty(len(grid)), np.empty(len(grid))
    count = 0
    for k in range(len(grid)):
        # Where goals would grow without end, no cost is a minimum.
        if costs[k + 1] <= min(costs[k], costs[k + 2]) and costs[k + 1] < np.inf:
            if max(costs[k], costs[k + 2]) - costs[k + 1] <= _ROUNDING * (1 + abs(costs[k + 1])):
                # On a plateau, as where goal and belief agree, rounding alone makes minima.
                minima[count], lows[count] = grid[k], costs[k + 1]
                count += 1
                continue
            low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
            c, cost = _local_minimum(low, high, goal, belief, now)
            if costs[k + 1] <= cost:
                c, cost = grid[k], costs[k + 1]
            minima[count], lows[count] = c, cost
            count += 1
    return minima[:count], lows[:count]


@compiled
def _best_responses(
    grid: Array, goals: Array, beliefs: Array, now: _Episode
) -> tuple[Array, Array, Array, Array]:
    """Best coefficients, excess costs of the best clearly different ones, and A and B from the agent on."""
    coefficients, excess = np.empty_like(goals), np.full_like(goals, np.inf)
    squares, outputs = np.empty_like(goals), np.empty_like(goals)
    for i in range(len(goals)):
        # Where nothing depends on c, as in deployment where goal and belief agree, c is 1.
        best = min(1.0, grid[-1])
        if now.eta > 0:
            lowest = _cost(best, goals[i], beliefs[i], now)
            minima, costs = _local_minima(grid, goals[i], beliefs[i], now)
            for k in range(len(minima)):
                if costs[k] < lowest:
                    best, lowest = minima[k], costs[k]
            for k in range(len(minima)):
                if abs(minima[k] - best) > _APART:
                    excess[i] = min(excess[i], costs[k] - lowest)
        y, a, b = _output_and_future(best, goals[i], beliefs[i], now)
        coefficients[i] = best
        squares[i], outputs[i] = y * y + now.discount * a, y + now.discount * b
    return coefficients, excess, squares, outputs
