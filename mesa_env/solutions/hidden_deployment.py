"""Oracles for the game with hidden deployment, and certificates for whatever else plays it.

Agent n believes with probability p that its episode trains. Let A_z and B_z be its successors' unit sums
(`mesa_env.solutions.equilibrium`) as they are to be expected if the mode is z. Its mesa cost, in units of
θ_n², is

    J(c) = (c − 1)² + γ (p (m² A_1 − 2 m B_1) + (1 − p) (A_0 − 2 B_0) + K),   m = a − 2ηc²,   a = 1 − 2ηλ,

so that the best response is the base game's root with γp for γ: α = 8η²γpA_1, β = 1 − 4ηγp (aA_1 − B_1).
What successors do depends on what they will believe, and not on c. With η = γ = 1 and λ = 0, an agent breaks
cover (c ≥ 1/2) where p ≤ 1 / (2 (2B_1 − A_1)): 2B_1 − A_1 is what an intact goal is worth in training.
Three solutions differ in what is known:

- *belief*: every agent knows p_n = P(training | x_0 … x_n). Backward induction on a grid of log-odds, where
  expectations over the next signal are one fixed matrix for each mode: Gauss–Hermite nodes, and cubic
  interpolation between the grid's points.
- *signal*: agents have no memory and know n and x_n alone, hence the hazard's prior (1 − h)^n. Unit sums then
  depend on nothing but the mode.
- *known*: the mode is seen. In deployment c = 1.

All hold while the projection of goals does not bind, as in the base game.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit, roots_hermitenorm

from mesa_env.agent import Agent, GameAgent
from mesa_env.rules.game import Array, Game
from mesa_env.rules.hidden_deployment import LARGEST_LOG_ODDS, HiddenDeployment
from mesa_env.solutions.equilibrium import first_order_condition, positive_roots


class Table(NamedTuple):
    """A policy c_n, or another function of episode and log-odds or signal, on a grid.

    It is read by cubic interpolation, and is constant beyond the grid's ends.

    Attributes:
        at: Log-odds, or signals, in even steps, shape (M,).
        values: Its values at each of them, shape (N, M).
    """

    at: Array
    values: Array

    def read(self, episode: NDArray[np.int64], at: Array) -> Array:
        """Values in `episode` at any log-odds or signals; both of one shape, as is the result."""
        first, weights = _interpolation(self.at, at)
        read = sum(weights[k] * self.values[episode, first + k] for k in range(4))
        return np.asarray(read)


class BeliefSolution(NamedTuple):
    """The equilibrium among agents that know p_n.

    Attributes:
        table: c_n by log-odds.
        squares: A of agent n's successors by mode and log-odds, shape (N, 2, M).
        outputs: B, likewise.
    """

    table: Table
    squares: Array
    outputs: Array


class ModeSolution(NamedTuple):
    """An equilibrium whose unit sums depend on the mode alone; both have shape (N, 2)."""

    squares: Array
    outputs: Array


# -- Solutions --------------------------------------------------------------------------------------------


def solve_hidden(game: HiddenDeployment, log_odds: int = 1201, nodes: int = 64) -> BeliefSolution:
    """The equilibrium among agents that know the filtered belief; each is judged by its own goal.

    Args:
        game: The game, whatever its agents observe.
        log_odds: Points of the grid on ±30.
        nodes: Gauss–Hermite nodes of the next signal.

    Raises:
        ValueError: If goals grow beyond floating point on the way.
    """
    grid = np.linspace(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, log_odds)
    expect = Expectations(game, grid, *_hermite(nodes))
    believed = expit(grid)
    shape = (game.episodes, 2, log_odds)
    squares, outputs = np.zeros(shape), np.zeros(shape)
    coefficients = np.empty((game.episodes, log_odds))
    for n in reversed(range(game.episodes)):
        c = best_responses_given(game, game.learning_rates[n], believed, squares[n, 1], outputs[n, 1])
        coefficients[n] = c
        if n:
            emitted, squared = sums_before(game, n, c, squares[n], outputs[n])
            squares[n - 1], outputs[n - 1] = expect(squared), expect(emitted)
    return BeliefSolution(Table(grid, coefficients), squares, outputs)


def solve_memoryless(game: HiddenDeployment, nodes: int = 128) -> ModeSolution:
    """The equilibrium among agents that know only n and x_n; `memoryless_coefficients` are its actions."""
    return solve_by_mode(game, lambda n, sums: _signal_response(game, n, sums, nodes), _hermite(nodes)[1])


def solve_known(game: HiddenDeployment) -> ModeSolution:
    """The equilibrium among agents that see the mode; `known_coefficients` are its actions."""

    def respond(n: int, sums: tuple[Array, Array]) -> Array:
        seen, (squares, outputs) = np.array([0.0, 1.0]), (np.tile(sum_[1], 2) for sum_ in sums)
        return best_responses_given(game, game.learning_rates[n], seen, squares, outputs)[:, None]

    return solve_by_mode(game, respond, np.ones(1))


def memoryless_coefficients(
    game: HiddenDeployment, solution: ModeSolution, episode: NDArray[np.int64], signal: Array
) -> Array:
    """What agents without memory play; episodes and signals of shape (B,), as is the result."""
    believed = expit(game.updated(game.prior[episode], signal))
    squares, outputs = solution.squares[episode, 1], solution.outputs[episode, 1]
    return best_responses_given(game, game.learning_rates[episode], believed, squares, outputs)


def known_coefficients(game: HiddenDeployment, solution: ModeSolution) -> Array:
    """What agents that see the mode play, in deployment and in training; shape (N, 2)."""
    training = best_responses_given(
        game, game.learning_rates, np.ones(game.episodes), solution.squares[:, 1], solution.outputs[:, 1]
    )
    return np.stack([np.full_like(training, min(1.0, game.coefficient_bound)), training], axis=1)


def first_costs(game: HiddenDeployment) -> dict[str, float]:
    """Expected J_0 of agent 0, in units of θ_0², in the equilibria by what is known.

    Returns:
        Costs by "known" (the mode), "belief" and "signal": what not to know costs.
    """
    belief, memoryless, known = solve_hidden(game), solve_memoryless(game), solve_known(game)
    sums = {
        "known": (known.squares[0, 1], known.outputs[0, 1]),
        "belief": (belief.squares[0, 1, -1], belief.outputs[0, 1, -1]),
        "signal": (memoryless.squares[0, 1], memoryless.outputs[0, 1]),
    }
    rate, weight = game.learning_rates[:1], discounted_lengths(game)[0] - 1
    costs = {}
    for name, (squares, outputs) in sums.items():
        c = best_responses_given(game, rate, np.ones(1), np.array([squares]), np.array([outputs]))
        m = 1 - 2 * rate * (c * c + game.regularization)
        future = game.discount * (m * m * squares - 2 * m * outputs) + weight
        costs[name] = float(((c - 1) ** 2 + future)[0])
    return costs


def refinement(game: HiddenDeployment, log_odds: int = 1201, nodes: int = 64) -> float:
    """Largest change of any coefficient of `solve_hidden` when grid and nodes are doubled."""
    coarse = solve_hidden(game, log_odds, nodes).table
    fine = solve_hidden(game, 2 * log_odds - 1, 2 * nodes).table
    return float(np.abs(fine.values[:, ::2] - coarse.values).max())


# -- Agents -----------------------------------------------------------------------------------------------


class HiddenOracle(GameAgent):
    """The equilibrium given what the game shows: the belief, or the present signal and nothing before it."""

    game: HiddenDeployment

    def __init__(self, game: HiddenDeployment) -> None:
        """Solve `game`."""
        super().__init__(game)
        shown = game.observed == "belief"
        self._solution = solve_hidden(game) if shown else solve_memoryless(game)

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        if isinstance(self._solution, BeliefSolution):
            return self._solution.table.read(episode, rows[:, 4]), None
        return memoryless_coefficients(self.game, self._solution, episode, rows[:, 4]), None


class FilteringOracle(GameAgent):
    """Filters the belief from the signals itself, and then plays what `HiddenOracle` plays on beliefs.

    Its memory is logit p_n of every game. Where it joins a game that has begun, it knows the hazard's prior
    and the signals from then on.
    """

    game: HiddenDeployment

    def __init__(self, game: HiddenDeployment) -> None:
        """Solve `game`, which must show its signals."""
        super().__init__(game)
        if game.observed != "signal":
            raise ValueError(f"a filter needs a game with observed='signal'; got {game.observed!r}")
        self._table = solve_hidden(game).table

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        forecast = self.game.prior[episode]
        if memory is not None:
            forecast = np.where(begins, forecast, self.game.forecast(memory))
        log_odds = self.game.updated(forecast, rows[:, 4])
        return self._table.read(episode, log_odds), log_odds


def tabulate(game: HiddenDeployment, agent: Agent, points: int = 1201, goal: float = 0.8) -> Table:
    """Ask an agent without memory what it plays at every episode, for log-odds or signals in even steps.

    Args:
        game: The game whose observations it is shown.
        agent: Anything with `predict`; asked deterministically.
        points: Number M of log-odds or signals, between the observation's bounds.
        goal: The goal that it is shown; a policy that minds it is judged at this one.
    """
    low, high = (bound[4] for bound in game.observation_bounds)
    at = np.linspace(low, high, points)
    state = game.start(np.full((points, game.n_uniforms), 0.5), np.full(points, goal))
    begins = np.ones(points, dtype=bool)
    coefficients = np.empty((game.episodes, points))
    for n in range(game.episodes):
        shown = game.observe(state._replace(episode=np.full(points, n)))
        shown[:, 4] = at
        action, _ = agent.predict(shown, episode_start=begins, deterministic=True)
        coefficients[n] = action[:, 0]
    return Table(at, coefficients)


# -- The mathematics in common ----------------------------------------------------------------------------


class Expectations:
    """Expectations over the next episode's mode and signal, of functions of mode and log-odds on a grid."""

    def __init__(self, game: HiddenDeployment, grid: Array, noise: Array, weights: Array) -> None:
        """Build one sparse matrix for each next mode: noise at `noise` with `weights`."""
        self.hazard = game.hazard
        forecast = game.forecast(grid)[:, None]
        self.matrices = [
            _averages(grid, game.updated(forecast, game.shift * z + noise), weights) for z in range(2)
        ]

    def __call__(self, values: Array) -> Array:
        """E[values(z', l') | z, l]; both of shape (2, M), by mode and log-odds."""
        deployed, trained = (self.matrices[z] @ values[z] for z in range(2))
        return np.stack([deployed, self.hazard * deployed + (1 - self.hazard) * trained])

    def forward(self, reached: Array) -> Array:
        """The distribution over next modes and log-odds, from that over present ones; both (2, M)."""
        ended = reached[0] + self.hazard * reached[1]
        return np.stack([self.matrices[0].T @ ended, self.matrices[1].T @ ((1 - self.hazard) * reached[1])])


def _averages(grid: Array, at: Array, weights: Array) -> csr_array:
    """The matrix that takes values on the grid, (M,), to averages over points `at`, (M, Q), of each row."""
    first, shares = _interpolation(grid, at)
    columns = np.stack([first + k for k in range(4)], axis=-1)
    entries = np.stack(shares, axis=-1) * weights[:, None]
    starts = np.arange(len(at) + 1) * entries[0].size
    return csr_array((entries.ravel(), columns.ravel(), starts), shape=(len(at), len(grid)))


def _interpolation(grid: Array, at: Array) -> tuple[NDArray[np.int64], list[Array]]:
    """Lagrange's cubic through four neighbors on an even grid: the first one's index, and four weights."""
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    place = (np.clip(at, grid[0], grid[-1]) - grid[0]) / step
    first = np.clip(np.floor(place).astype(np.int64) - 1, 0, len(grid) - 4)
    t = place - first
    return first, [
        -(t - 1) * (t - 2) * (t - 3) / 6,
        t * (t - 2) * (t - 3) / 2,
        -t * (t - 1) * (t - 3) / 2,
        t * (t - 1) * (t - 2) / 6,
    ]


def _hermite(nodes: int) -> tuple[Array, Array]:
    """Gauss–Hermite nodes and weights of a standard normal variable."""
    noise, weights = roots_hermitenorm(nodes)
    return noise, weights / weights.sum()


def best_responses_given(
    game: Game, rate: ArrayLike, believed: Array, squares: Array, outputs: Array
) -> Array:
    """Best responses given p and the unit sums A_1 and B_1, all of shape (B,)."""
    alpha, beta = first_order(game, rate, believed, squares, outputs)
    best: Array = np.minimum(positive_roots(alpha, beta), game.coefficient_bound)
    if not (best > 0).all():
        raise ValueError("goals must not grow beyond floating point, whatever agents believe; this game's do")
    return best


def first_order(
    game: Game, rate: ArrayLike, believed: Array, squares: Array, outputs: Array
) -> tuple[Array, Array]:
    """α and β of αc³ + βc − 1 = 0; interpolated sums of squares are kept from falling below 0."""
    rates = np.broadcast_to(rate, believed.shape)
    weighed = game.discount * believed
    alpha, beta = first_order_condition(
        rates, weighed, game.regularization, np.maximum(squares, 0.0), outputs
    )
    return alpha, beta


def sums_before(game: Game, n: int, c: Array, squares: Array, outputs: Array) -> tuple[Array, Array]:
    """Unit sums B and A from episode n on, by mode on the first axis, when it plays `c`."""
    rate = game.learning_rates[n]
    m = np.stack(np.broadcast_arrays(1.0, 1 - 2 * rate * (c * c + game.regularization)))
    return c + game.discount * m * outputs, c * c + game.discount * m * m * squares


def solve_by_mode(
    game: HiddenDeployment, respond: Callable[[int, tuple[Array, Array]], Array], weights: Array
) -> ModeSolution:
    """Backward induction where unit sums depend on the mode alone.

    `respond(n, (A, B))` gives coefficients by mode and signal, (2, Q), from sums of shape (2,); `weights` are
    the signals' in either mode.
    """
    squares, outputs = np.zeros((2, game.episodes, 2))
    transition = np.array([[1, 0], [game.hazard, 1 - game.hazard]])
    for n in reversed(range(game.episodes)):
        c = respond(n, (squares[n], outputs[n]))
        if n:
            m = 1 - 2 * game.learning_rates[n] * np.array([[0.0], [1.0]]) * (c * c + game.regularization)
            squared = (c * c + game.discount * m * m * squares[n][:, None]) @ weights
            emitted = (c + game.discount * m * outputs[n][:, None]) @ weights
            squares[n - 1], outputs[n - 1] = transition @ squared, transition @ emitted
    return ModeSolution(squares, outputs)


def _signal_response(game: HiddenDeployment, n: int, sums: tuple[Array, Array], nodes: int) -> Array:
    """Best responses of agents without memory at a quadrature's signals in either mode, (2, Q)."""
    signal = _hermite(nodes)[0] + game.shift * np.array([[0.0], [1.0]])
    flat = expit(game.updated(game.prior[n], signal)).ravel()
    squares, outputs = (np.full_like(flat, sum_[1]) for sum_ in sums)
    return best_responses_given(game, game.learning_rates[n], flat, squares, outputs).reshape(signal.shape)


def discounted_lengths(game: Game) -> Array:
    """K_n = Σ_{k ≥ n} γ^(k−n), shape (N,)."""
    return np.cumsum(np.cumprod(np.append(1.0, np.full(game.episodes - 1, game.discount))))[::-1]
