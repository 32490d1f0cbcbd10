"""Two planners of the game whose discount is trained: one foresees that γ moves, the other does not.

The naive planner plays the base game's equilibrium at the discount that it sees, and plans afresh in every
episode. The foreseeing one plays the game's own equilibrium, by backward induction over the state (θ, γ):
agent n weighs coefficients by playing the remaining training episodes with its successors' policies, and
adding deployment in closed form, all judged by its own goal and discount. Policies are tables over goals and
discounts of how far they depart from the naive one; both agree where κ = 0 or θ = 0.

Where steps of the base optimizer move γ far, but not at once to 1 (η = 0.1 with κ = 10 from γ_0 = 0.1, or
κ = 1 from 0.7), policies jump: two local minima of J_n swap ranks; `margins` shows where ties are near. Jumps
multiply as induction goes back, and finer tables only move them: an agent can then gain some 1e-2 of the cost
of silence by leaving its policy. In the other games that docs/results.md certifies it is below 1e-5.
"""

from typing import NamedTuple

import numpy as np

from mesa_env import numerics
from mesa_env.numerics import Array, Integers, Refinement, compiled
from mesa_env.rules.learnable_discount import CELLS, LearnableDiscount, Patience, interpolation, nodes
from mesa_env.solutions.equilibrium import solve_equilibria
from mesa_env.solutions.paths import Planner, follow
from mesa_env.validation import require_kind

_PROPOSALS = 49  # coefficients tried before the local search, closest together around 0
_SECTIONS = 40


class NaivePlanner(Planner):
    """Plays as if its discount never changed: the base game's equilibrium at the present γ."""

    game: LearnableDiscount

    def coefficients(self, episode: Integers, goal: Array, discount: Array) -> Array:
        """Coefficients in the states (n, θ, γ), each of shape (B,); the goal does not matter."""
        return _plan_naively(self.game, discount)[np.arange(len(episode)), episode]


class ForeseeingPlanner(Planner):
    """Plays the equilibrium of the game in which γ is trained.

    Its tables have `goals` cells in |θ| and `discounts` cells in γ. They end at the largest goal that a game
    can begin with; larger ones are treated as that.

    Attributes:
        departures: c_n(θ, γ) − c_n^naive(γ) up to the last training episode, for goals uniform on
            [0, largest] and discounts spaced as `nodes`; shape (T, goals + 1, discounts + 1).
        margins: Excess cost of the second-best local minimum of J_n, in units of θ_n²; ∞ where there is only
            one, and for θ = 0. Same shape.
    """

    def __init__(self, game: LearnableDiscount, goals: int = 12, discounts: int = 40) -> None:
        require_kind(game, LearnableDiscount)
        super().__init__(game)
        largest = float(np.abs(game.initial_goal).max()) or 1.0
        trained = np.flatnonzero(game.training).max(initial=-1) + 1
        # Every coefficient that is tried in an episode is followed to the last one.
        tried = goals * (discounts + 1) * (_PROPOSALS + _SECTIONS)
        planned = (discounts + CELLS) * game.episodes
        numerics.announce_work("solving this game", trained**2 / 2 * tried + 2 * planned, 2 * planned)
        self.departures = np.zeros((trained, goals + 1, discounts + 1))
        self.margins = np.full(self.departures.shape, np.inf)
        self._rules = _Rules(
            game.learning_rates[:trained],
            _plan_naively(game, nodes())[:, :trained].T.copy(),
            game.slopes,
            self.departures,
            largest,
            game.discount_learning_rate,
            game.regularization,
            game.coefficient_bound,
            game.goal_bound,
            game.episodes - trained,
        )
        spread = 2 * np.arange(_PROPOSALS) / (_PROPOSALS - 1) - 1
        _solve(self._rules, game.coefficient_bound * spread * np.abs(spread), self.margins)

    def coefficients(self, episode: Integers, goal: Array, discount: Array) -> Array:
        """Coefficients in the states (n, θ, γ), each of shape (B,)."""
        return _coefficients(self._rules, episode, goal, discount)


def _plan_naively(game: LearnableDiscount, discounts: Array) -> Array:
    """The base game's equilibria at fixed discounts of shape (B,); shape (B, N)."""
    rates = np.tile(game.learning_rates, (len(discounts), 1))
    return solve_equilibria(rates, discounts, game.regularization, game.coefficient_bound)


def refinement(game: LearnableDiscount, goals: int = 12, discounts: int = 40) -> Refinement:
    """What doubling the tables of a `ForeseeingPlanner` changes along its path, where discounts are compared.

    Where θ_0 or γ_0 is drawn, the path begins in the middle of its range.
    """
    goal, discount = (np.array([np.mean(first)]) for first in (game.initial_goal, game.discount))
    state, paths = game.start(np.zeros((1, game.n_uniforms)), goal)._replace(extra=Patience(discount)), []
    for factor in (1, 2):
        planner = ForeseeingPlanner(game, goals * factor, discounts * factor)
        coefficients, path = follow(game, state, planner.coefficients)
        paths.append((coefficients, path[:, 1]))
    return Refinement.between(*paths)


# -- Compiled kernels -------------------------------------------------------------------------------------


class _Rules(NamedTuple):
    """The game as the kernels need it; tables over `nodes()` have shape (T, CELLS + 1)."""

    rates: Array
    naive: Array
    slopes: Array
    departures: Array
    largest_goal: float
    kappa: float
    regularization: float
    coefficient_bound: float
    goal_bound: float
    deployed: int


@compiled
def look_up(row: Array, discount: float) -> float:
    """Value of a table over `nodes()`, cubic between them."""
    first, weights = interpolation(discount)
    value: float = numerics.weighted_neighbors(row, first, weights)
    return value


@compiled
def _policy(rules: _Rules, n: int, goal: float, discount: float) -> float:
    """Coefficient of agent n: the naive planner's and the departure from it, bicubic in (|θ|, t)."""
    bound = rules.coefficient_bound
    if n >= len(rules.rates):
        return min(1.0, bound)
    table = rules.departures[n]
    goals, discounts = table.shape[0] - 1, table.shape[1] - 1
    i, across = numerics.cubic_stencil(goals * min(abs(goal) / rules.largest_goal, 1.0), goals)
    j, along = numerics.cubic_stencil(discounts * numerics.position_of(discount), discounts)
    departure = 0.0
    for p in range(4):
        for q in range(4):
            departure += across[p] * along[q] * table[i + p, j + q]
    return min(max(look_up(rules.naive[n], discount) + departure, -bound), bound)


@compiled
def _cost(c: float, rules: _Rules, n: int, goal: float, discount: float, tail: float) -> float:
    """J_n of coefficient c in units of θ², successors playing their policies; `tail` is deployment's K."""
    theta, gamma, weight, cost = goal, discount, 1.0, 0.0
    for k in range(n, len(rules.rates)):
        eta = rules.rates[k]
        if k > n:
            c = _policy(rules, k, theta, gamma)
        cost += weight * (c * theta - goal) ** 2
        weight *= discount
        slope = look_up(rules.slopes[k], gamma)
        gamma = min(max(gamma - rules.kappa * eta * 2 * c * theta * theta * slope, 0.0), 1.0)
        theta *= 1 - 2 * eta * (c * c + rules.regularization)
        theta = min(max(theta, -rules.goal_bound), rules.goal_bound)
    cost += weight * tail * (min(1.0, rules.coefficient_bound) * theta - goal) ** 2
    return cost / (goal * goal)


_golden_section = numerics.golden_section(_cost, keep_left=False)


@compiled
def _best(
    proposals: Array, rules: _Rules, n: int, goal: float, discount: float, tail: float
) -> tuple[float, float]:
    """Best coefficient of agent n in state (θ, γ), and how much worse the second-best local minimum is."""
    size, costs = len(proposals), np.empty_like(proposals)
    for i in range(size):
        costs[i] = _cost(proposals[i], rules, n, goal, discount, tail)
    best, lowest, second = 0.0, np.inf, np.inf
    for i in range(size):
        before, after = max(i - 1, 0), min(i + 1, size - 1)
        if costs[i] > costs[before] or costs[i] > costs[after]:
            continue
        arguments = (rules, n, goal, discount, tail)
        c, cost = _golden_section(arguments, proposals[before], proposals[after], _SECTIONS)
        if costs[i] < cost:  # at the bound
            c, cost = proposals[i], costs[i]
        if cost < lowest:
            best, lowest, second = c, cost, lowest
        else:
            second = min(second, cost)
    return best, second - lowest


@compiled
def _solve(rules: _Rules, proposals: Array, margins: Array) -> None:
    """Backward induction: fills in the departures of every agent, and the margins."""
    episodes, goals, discounts = margins.shape
    for n in range(episodes - 1, -1, -1):
        if rules.rates[n] == 0:
            continue
        for j in range(discounts):
            discount = numerics.discount_at(j / (discounts - 1))
            tail = 0.0
            for _ in range(rules.deployed):  # K is the A of agents that emit 1
                tail, _ = numerics.unit_sums_before(1.0, 1.0, discount, tail, tail)
            for i in range(1, goals):
                goal = rules.largest_goal * i / (goals - 1)
                best, margins[n, i, j] = _best(proposals, rules, n, goal, discount, tail)
                rules.departures[n, i, j] = best - look_up(rules.naive[n], discount)


@compiled
def _coefficients(rules: _Rules, episode: Integers, goal: Array, discount: Array) -> Array:
    """Coefficients in the states (n, θ, γ), elementwise."""
    coefficients = np.empty(len(goal))
    for i in range(len(goal)):
        coefficients[i] = _policy(rules, episode[i], goal[i], discount[i])
    return coefficients
