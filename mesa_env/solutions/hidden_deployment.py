"""Oracles of the game with hidden deployment.

Agent n believes with probability p that its episode trains. Let A_z and B_z be the expected unit sums of its
successors (`mesa_env.solutions.equilibrium`) if the mode is z. Its mesa cost, in units of θ_n², is

    J(c) = (c − 1)² + γ (p (m² A_1 − 2 m B_1) + (1 − p) (A_0 − 2 B_0) + K),   m = a − 2ηc²,   a = 1 − 2ηλ,

so that the best response is the base game's root with γp for γ: α = 8η²γpA_1, β = 1 − 4ηγp (aA_1 − B_1).
What successors do depends on what they will believe, and not on c. With η = γ = 1 and λ = 0, an agent breaks
cover (c ≥ 1/2) where p ≤ 1 / (2 (2B_1 − A_1)): 2B_1 − A_1 is what an intact goal is worth in training.
Three solutions differ in what is known:

- *belief*: every agent knows p_n = P(training | x_0 … x_n). Backward induction on a grid of log-odds, where
  one fixed matrix for each mode takes expectations over the next signal.
- *signal*: agents have no memory and know n and x_n alone, hence the hazard's prior (1 − h)^n. Unit sums then
  depend on nothing but the mode.
- *known*: the mode is seen. In deployment c = 1.

All hold while the projection of goals does not bind, as in the base game.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from mesa_env import numerics
from mesa_env.agent import GameAgent
from mesa_env.numerics import Array, Booleans, Integers, Refinement
from mesa_env.rules.hidden_deployment import LARGEST_LOG_ODDS, HiddenDeployment
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.beliefs import Expectations, Table, gauss_hermite
from mesa_env.validation import require_kind

MODES = np.array([[0.0], [1.0]])
"""z in deployment and in training, the order of every axis of modes."""

STEPS_PER_NODE = 0.25
"""Work of a node of an expectation at a point of a grid, in steps as `announce_work` counts them."""


class ModeSolution(NamedTuple):
    """Unit sums A and B of every agent's successors, by mode and point of a grid; each of shape (N, 2, M).

    Where they depend on the mode alone, M = 1.
    """

    squares: Array
    outputs: Array


Respond = Callable[[int, ModeSolution], Array]


class BeliefSolution(NamedTuple):
    """The equilibrium among agents that know p_n."""

    table: Table  # c_n by log-odds
    sums: ModeSolution  # by mode and log-odds


class Situation(NamedTuple):
    """What agents respond to; shapes broadcast to that of the belief."""

    rate: ArrayLike  # η in training
    belief: Array  # p, the probability that the episode trains
    squares: Array  # A_1 of the successors
    outputs: Array  # B_1 of the successors


# -- Solutions --------------------------------------------------------------------------------------------


def solve_hidden(game: HiddenDeployment, log_odds: int = 1201, nodes: int = 64) -> BeliefSolution:
    """The equilibrium among agents that know the filtered belief; each is judged by its own goal.

    The grid has `log_odds` points on ±30; expectations take that many Gauss–Hermite nodes of the next signal.

    Raises:
        ValueError: If goals overflow on the way.
    """
    require_kind(game, HiddenDeployment)
    grid = np.linspace(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, log_odds)
    sizes = game.episodes * log_odds
    numerics.announce_work("solving this game", sizes * nodes * STEPS_PER_NODE, 5 * sizes)
    belief, coefficients = expit(grid), np.empty((game.episodes, log_odds))

    def respond(n: int, sums: ModeSolution) -> Array:
        situation = Situation(game.learning_rates[n], belief, sums.squares[n, 1], sums.outputs[n, 1])
        coefficients[n] = best = best_responses_given(game, situation)
        return best

    expect = Expectations(game, grid, *gauss_hermite(nodes))
    sums = unit_sums_backward(game, respond, expect, log_odds)
    return BeliefSolution(Table(grid, coefficients), sums)


def solve_memoryless(game: HiddenDeployment, nodes: int = 128) -> ModeSolution:
    """The equilibrium among agents that know only n and x_n; `memoryless_coefficients` are its actions."""
    require_kind(game, HiddenDeployment)
    noise, weights = gauss_hermite(nodes)
    signal = noise + game.shift * MODES

    def respond(n: int, sums: ModeSolution) -> Array:
        belief = expit(game.update(game.prior[n], signal))
        situation = Situation(game.learning_rates[n], belief, sums.squares[n, 1], sums.outputs[n, 1])
        return best_responses_given(game, situation)

    return solve_by_mode(game, respond, weights)


def solve_known(game: HiddenDeployment) -> ModeSolution:
    """The equilibrium among agents that see the mode."""
    require_kind(game, HiddenDeployment)

    def respond(n: int, sums: ModeSolution) -> Array:
        situation = Situation(game.learning_rates[n], MODES, sums.squares[n, 1], sums.outputs[n, 1])
        return best_responses_given(game, situation)

    return solve_by_mode(game, respond, np.ones(1))


def situation_by_signal(
    game: HiddenDeployment, solution: ModeSolution, episode: Integers, signal: Array
) -> Situation:
    """What agents that know only n and x_n respond to; episodes and signals of one shape."""
    belief = expit(game.update(game.prior[episode], signal))
    sums = (unit_sums[episode, 1, 0] for unit_sums in solution)
    return Situation(game.learning_rates[episode], belief, *sums)


def memoryless_coefficients(
    game: HiddenDeployment, solution: ModeSolution, episode: Integers, signal: Array
) -> Array:
    """Coefficients of agents without memory; episodes and signals of shape (B,), as is the result."""
    return best_responses_given(game, situation_by_signal(game, solution, episode, signal))


def first_costs(game: HiddenDeployment) -> dict[str, float]:
    """Expected J_0 of agent 0, in units of θ_0², where the mode is "known", or the "belief" or "signal" is.

    Their differences are the price of ignorance.
    """
    solved = {"known": solve_known(game), "belief": solve_hidden(game).sums, "signal": solve_memoryless(game)}
    rate, weight = game.learning_rates[:1], numerics.discounted_lengths(game.discount, game.episodes)[0] - 1
    costs = {}
    for name, solution in solved.items():
        squares, outputs = (sums[0, 1, -1] for sums in solution)
        c = best_responses_given(game, Situation(rate, np.ones(1), squares, outputs))
        m = 1 - 2 * rate * (c * c + game.regularization)
        future = game.discount * (m * m * squares - 2 * m * outputs) + weight
        costs[name] = float(((c - 1) ** 2 + future)[0])
    return costs


def refinement(game: HiddenDeployment, log_odds: int = 1201, nodes: int = 64) -> Refinement:
    """Largest change of any coefficient of `solve_hidden` when grid and nodes are doubled."""
    coarse = solve_hidden(game, log_odds, nodes).table
    fine = solve_hidden(game, 2 * log_odds - 1, 2 * nodes).table
    return Refinement.between([coarse.values], [fine.values[:, ::2]])


# -- Agents -----------------------------------------------------------------------------------------------


class HiddenOracle(GameAgent):
    """The equilibrium given what the game shows: the belief, or the present signal and nothing before it."""

    def __init__(self, game: HiddenDeployment) -> None:
        super().__init__(game)
        self._coefficients: Callable[[Integers, Array], Array]
        if game.observed == "belief":
            self._coefficients = solve_hidden(game).table.read
        else:
            self._coefficients = partial(memoryless_coefficients, game, solve_memoryless(game))

    def _act(self, rows: Array, episode: Integers, memory: Any, begins: Booleans) -> tuple[Array, Any]:
        return self._coefficients(episode, rows[:, 4]), None


class FilteringOracle(GameAgent):
    """Filters the belief from the signals itself, and then plays what `HiddenOracle` plays on beliefs.

    Its memory is logit p_n of every game. If it joins a game that has already begun, it knows the hazard's
    prior and the signals from then on.
    """

    game: HiddenDeployment
    memory_shape = ()

    def __init__(self, game: HiddenDeployment) -> None:
        super().__init__(game)
        if game.observed != "signal":
            raise ValueError(f"a filter needs a game with observed='signal'; got {game.observed!r}")
        self._table = solve_hidden(game).table

    def _act(self, rows: Array, episode: Integers, memory: Any, begins: Booleans) -> tuple[Array, Any]:
        forecast = self.game.prior[episode]
        if memory is not None:
            forecast = np.where(begins, forecast, self.game.forecast(memory))
        log_odds = self.game.update(forecast, rows[:, 4])
        return self._table.read(episode, log_odds), log_odds


# -- Best responses and unit sums -------------------------------------------------------------------------


def first_order_condition_given(game: ScalarGame, situation: Situation) -> tuple[Array, Array]:
    """α and β of αc³ + βc − 1 = 0; interpolated sums of squares are kept from falling below 0."""
    rate, belief, squares, outputs = situation
    squares = np.maximum(squares, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # where goals grow beyond floating point
        discount = game.discount * belief
        return numerics.first_order_condition(rate, discount, game.regularization, squares, outputs)


def best_responses_given(game: ScalarGame, situation: Situation) -> Array:
    """Best responses to situations, elementwise."""
    roots = numerics.positive_roots(*first_order_condition_given(game, situation))
    best: Array = np.minimum(roots, game.coefficient_bound)
    if not (best > 0).all():
        raise ValueError("goals must not grow beyond floating point, whatever agents believe; here they do")
    return best


def unit_sums_backward(
    game: HiddenDeployment, respond: Respond, expect: Callable[[Array], Array], points: int
) -> ModeSolution:
    """Unit sums when agent n plays `respond(n, sums)`, given its successors' sums.

    Coefficients have shape (2, points), or one for both modes; `expect` takes sums from n on to their
    expectations one episode before.
    """
    squares, outputs = np.zeros((2, game.episodes, 2, points))
    sums = ModeSolution(squares, outputs)
    for n in reversed(range(game.episodes)):
        c = respond(n, sums)
        if n:
            m = 1 - 2 * game.learning_rates[n] * MODES * (c * c + game.regularization)
            before = numerics.unit_sums_before(c, m, game.discount, squares[n], outputs[n])
            squares[n - 1], outputs[n - 1] = map(expect, before)
    return sums


def solve_by_mode(game: HiddenDeployment, respond: Respond, weights: Array) -> ModeSolution:
    """`unit_sums_backward` where sums depend on the mode alone, and `weights` are the signals' probabilities.

    `respond` returns coefficients by mode and signal, (2, Q).
    """
    transition = np.array([[1, 0], [game.hazard, 1 - game.hazard]])

    def expect(sums: Array) -> Array:
        return np.asarray(transition @ (sums @ weights))[:, None]

    return unit_sums_backward(game, respond, expect, 1)
