"""What may still happen in a game with hidden deployment, sampled, and what deviations are worth in it.

Futures are branched off at an agent's turn, on the condition that it trains: only then does its action move
anything. Coefficients are taken to depend on signals alone, so that those of a future are fixed.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mesa_env.agent import Agent, ask_agent
from mesa_env.numerics import Array, Booleans, compiled
from mesa_env.rules.hidden_deployment import Hidden, HiddenDeployment
from mesa_env.rules.rules import State
from mesa_env.validation import show


class Futures(NamedTuple):
    """What successors do in F futures of each of H games, in the L episodes that are left; (L, H, F) each."""

    coefficients: Array
    contractions: Array  # m_k, which is 1 in deployment

    @property
    def halves(self) -> "tuple[Futures, Futures]":
        """The first half of every game's futures, and the second."""
        first, second = zip(*(np.split(part, 2, axis=2) for part in self), strict=True)
        return Futures(*first), Futures(*second)

    @property
    def growth(self) -> Array:
        """The most by which any of a game's futures multiplies the goal that it is handed; shape (H,)."""
        growth: Array = np.abs(np.cumprod(self.contractions, axis=0)).max(axis=(0, 2), initial=1.0)
        return growth

    def unit_sums(self, discount: float) -> Array:
        """A_1 and B_1 of every future without projection, shape (2, H, F)."""
        sums, kept, weight = (
            np.zeros((2, *self.coefficients.shape[1:])),
            np.ones(self.coefficients.shape[1:]),
            1.0,
        )
        for c, m in zip(*self, strict=True):
            sums[0] += weight * (c * kept) ** 2
            sums[1] += weight * c * kept
            kept = kept * m
            weight *= discount
        return sums


def sample_futures(
    game: HiddenDeployment, agent: Agent, state: State, memory: Any, futures: int, rng: np.random.Generator
) -> Futures:
    """Branch off futures of games at the same turn; the agent is shown the same goal throughout."""
    rows = np.repeat(np.arange(len(state.goal)), futures)
    n, goal, hidden = state.episode[rows], state.goal[rows], state.extra
    # Training is memoryless: from n on it lasts as long as from 0 on.
    lasting = n + game.training_lengths(rng.random(rows.size))
    noise = rng.standard_normal((rows.size, game.episodes))
    branch = State(n, goal, Hidden(lasting, hidden.log_odds[rows], hidden.signal[rows], noise))
    memory, idle, begins = (
        _rows_of(memory, rows, len(state.goal)),
        np.zeros((rows.size, 1)),
        np.zeros(rows.size, dtype=bool),
    )
    branch, _ = game.play(branch, idle)
    coefficients, contractions = [], []
    while not game.over(branch)[0].all():
        branch = branch._replace(goal=goal)
        action, memory = ask_agent(agent, game.observe(branch), memory, begins)
        c = game.validate_actions(action, begins.shape)[:, 0].astype(np.float64)
        rate = game.learning_rates[branch.episode] * (branch.episode < branch.extra.training_episodes)
        coefficients.append(c)
        contractions.append(1 - 2 * rate * (c * c + game.regularization))
        branch, _ = game.play(branch, idle)
    left = np.array([coefficients, contractions]).reshape(2, -1, len(state.goal), futures)
    return Futures(*left)


def projected_costs(
    game: HiddenDeployment, state: State, belief: Array, futures: Futures, tried: Array
) -> Array:
    """Mean J of coefficients (H, K), in units of θ² and less a constant, under the actual rules; (H, K)."""
    rate, costs = game.learning_rates[state.episode], np.empty(tried.shape)
    parameters = game.discount, game.regularization, game.goal_bound
    for h, share in enumerate(game.discount * belief):
        sequences = (
            np.ascontiguousarray(futures.coefficients[:, h]),
            np.ascontiguousarray(futures.contractions[:, h]),
        )
        goal = float(np.abs(state.goal[h])) or 1.0
        _mean_costs(costs[h], tried[h], rate[h], goal, share, parameters, *sequences)
    return costs


def best_projected(
    game: HiddenDeployment, state: State, belief: Array, futures: Futures, proposals: int = 41, zooms: int = 4
) -> Array:
    """Coefficients (H,) whose mean cost in sampled futures is least, by a search in ever smaller steps.

    The first has four times as many proposals, between 0 and the coefficient from which on θ_{n+1} is
    projected; beyond it nothing moves that any more, and what is best is 1.
    """
    rows, rate = np.arange(len(belief)), np.maximum(game.learning_rates[state.episode], 1e-300)
    goal = np.where(state.goal == 0, game.goal_bound, np.abs(state.goal))
    square = (1 + game.goal_bound / goal) / (2 * rate) - game.regularization
    low = np.zeros(len(belief))
    high = np.minimum(np.sqrt(np.maximum(square, 0)), game.coefficient_bound)
    for zoom in range(zooms):
        tried = np.linspace(low, high, proposals if zoom else 4 * proposals, axis=1)
        costs = projected_costs(game, state, belief, futures, tried)
        at = costs.argmin(axis=1)
        low, high = tried[rows, np.maximum(at - 2, 0)], tried[rows, np.minimum(at + 2, tried.shape[1] - 1)]
    one = np.full((len(belief), 1), min(1.0, game.coefficient_bound))
    better = projected_costs(game, state, belief, futures, one)[:, 0] < costs[rows, at]
    return np.where(better, one[:, 0], tried[rows, at])


def may_project(game: HiddenDeployment, state: State, growth: ArrayLike) -> Booleans:
    """Whether some action in each state leads to a projection, then or where successors let goals grow; (H,).

    `growth` is the most by which successors multiply the goal that they are handed, (H,), or one for all.
    """
    rate = game.learning_rates[state.episode]
    extremes = np.array([[0.0], [game.coefficient_bound**2]])
    with np.errstate(over="ignore", invalid="ignore"):  # a goal of 0 stays 0 however much it is multiplied
        furthest = np.abs(1 - 2 * rate * (extremes + game.regularization)).max(axis=0) * np.abs(state.goal)
        return np.asarray(furthest * np.maximum(growth, 1.0) > game.goal_bound)


def _rows_of(memory: Any, rows: NDArray[np.int64], games: int) -> Any:
    """Rows of an agent's memory: along axis 1 of the arrays of a recurrent policy, axis 0 otherwise.

    Raises:
        ValueError: If it is not one row per game.
    """
    if memory is None:
        return None
    recurrent = isinstance(memory, tuple)
    parts, axis = [np.asarray(part) for part in (memory if recurrent else [memory])], int(recurrent)
    if any(part.shape[axis : axis + 1] != (games,) for part in parts):
        raise ValueError(
            f"an agent's memory must be an array of {games} rows, one per game, or a tuple of arrays "
            f"(layers, rows, …), so that futures can branch off; got {show(memory)}"
        )
    chosen = tuple(part.take(rows, axis) for part in parts)
    return chosen if recurrent else chosen[0]


@compiled
def _mean_costs(
    costs: Array,
    tried: Array,
    rate: float,
    goal: float,
    share: float,
    parameters: tuple[float, float, float],
    coefficients: Array,
    contractions: Array,
) -> None:
    """Fill in the mean costs of the coefficients tried, each played through every future (L, F)."""
    discount, regularization, bound = parameters
    episodes, futures = coefficients.shape
    for i in range(len(tried)):
        c, total = tried[i], 0.0
        first = min(max(goal * (1 - 2 * rate * (c * c + regularization)), -bound), bound)
        for f in range(futures):
            x, weight = first, 1.0
            for k in range(episodes):
                y = coefficients[k, f] * x
                total += weight * (y * y - 2 * goal * y)
                x = min(max(x * contractions[k, f], -bound), bound)
                weight *= discount
        costs[i] = (c - 1) ** 2 + share * total / futures / goal / goal
