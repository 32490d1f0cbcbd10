"""The exact oracle of the base game: backward induction with a cubic.

Every agent's future is homogeneous in its goal, so three numbers say all that agent n needs to know of its
successors: their *unit sums*

    A = Σ_{k>n} γ^(k−n−1) u_k²,   B = Σ_{k>n} γ^(k−n−1) u_k,   K = Σ_{k>n} γ^(k−n−1),   u_k = y_k / θ_{n+1}.

With m = a − 2ηc² and a = 1 − 2ηλ, the mesa cost of a coefficient c, in units of θ_n², is

    J(c) = (c − 1)² + γ (m² A − 2 m B + K),

and J'(c)/2 = α c³ + β c − 1 with α = 8η²γA ≥ 0 and β = 1 − 4ηγ(aA − B). The constant term is negative, so
there is exactly one positive root; J(c) < J(−c) for c > 0, so that root, clipped to the bound, is the best
response. It is unique, and it is never 0: the equilibrium is unique and full deception is never optimal.

The closed forms hold while the projection of goals does not bind; `solve_equilibrium` warns where it does.
"""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env import numerics
from mesa_env.numerics import compiled, find_positive_roots, first_order_condition, unit_sums_before
from mesa_env.rules.game import Game
from mesa_env.rules.rules import Array, Rules
from mesa_env.rules.scalar import ScalarGame, validate_coefficients
from mesa_env.validation import LARGEST, is_whole, numbers_of, require_kind, show, validate_number

BLOCK = 64
"""Games solved side by side: enough for the processor's vector units, few enough for its cache."""


class UnitSums(NamedTuple):
    """What each agent's successors emit, in units of the goal it hands on; every field has shape (N,)."""

    squares: Array  # A
    outputs: Array  # B
    weights: Array  # K


def solve_equilibrium(game: Game) -> Array:
    """Coefficients c_n of the unique equilibrium, every agent judged by its own goal; shape (N,).

    Example:
        >>> from mesa_env import Game
        >>> solve_equilibrium(Game())[[0, 19, 20]].round(7)
        array([0.0311513, 0.1115536, 1.       ])
    """
    coefficients = unwarned_equilibrium(game)
    warn_where_goals_are_projected(game, coefficients * coefficients)
    return coefficients


def unwarned_equilibrium(game: Game) -> Array:
    """`solve_equilibrium` without a warning where the projection of goals binds, as it may; shape (N,)."""
    require_base_game(game)
    discounts, regularizations = np.array([[game.discount], [game.regularization]])
    rates, bound = game.learning_rates[None], game.coefficient_bound
    coefficients: Array = _solve(rates, discounts, regularizations, bound)[0]
    return coefficients


def solve_equilibria(
    learning_rates: ArrayLike,
    discount: ArrayLike = 1.0,
    regularization: ArrayLike = 0.0,
    coefficient_bound: float = 2.0,
) -> Array:
    """Equilibria of many games at once, in about a microsecond per 100 episodes.

    Learning rates have shape (B, N); discount and regularization have shape (B,), or are one for all.

    Returns:
        Coefficients, shape (B, N); row b is `solve_equilibrium` of game b, bit for bit.

    Raises:
        ValueError: If an argument has the wrong shape or a value outside its range.
    """
    rates = np.ascontiguousarray(validate_numbers("learning_rates", learning_rates))
    if rates.ndim != 2 or rates.shape[1] == 0:
        raise ValueError(f"learning_rates must have shape (B, N) with N ≥ 1; got shape {rates.shape}")
    discounts = _one_per_game("discount", discount, len(rates), high=1.0)
    regularizations = _one_per_game("regularization", regularization, len(rates))
    bound = validate_number("coefficient_bound", coefficient_bound, high=LARGEST, above=0.0)
    return _solve(rates, discounts, regularizations, bound)


def unit_sums(game: Game, coefficients: ArrayLike) -> UnitSums:
    """The unit sums A, B, K of every agent's successors under coefficients (N,); 0 for the last agent."""
    require_base_game(game)
    profile = validate_coefficients(game, coefficients)
    squares, outputs = _unit_sums(game.learning_rates, game.discount, game.regularization, profile)
    return UnitSums(squares, outputs, numerics.discounted_lengths(game.discount, game.episodes)[1:])


def first_order_conditions(game: Game, coefficients: ArrayLike) -> tuple[Array, Array]:
    """α and β of every agent's first-order condition α c³ + β c − 1 = 0 in a profile; each of shape (N,)."""
    squares, outputs, _ = unit_sums(game, coefficients)
    parameters = game.learning_rates, game.discount, game.regularization
    with np.errstate(over="ignore", invalid="ignore"):  # where goals grow beyond floating point
        return first_order_condition(*parameters, squares, outputs)


def best_response(game: Game, coefficients: ArrayLike, episode: int) -> float:
    """Coefficient with which agent `episode` minimizes its own mesa cost, given its successors' coefficients.

    The profile has shape (N,); only entries after `episode` matter. It is the closed form of the game without
    projection of goals; where an action leads to one, `mesa_env.audit` finds the best deviation.

    Raises:
        ValueError: If the profile or the episode does not fit the game.
    """
    last = require_base_game(game).episodes - 1
    if not (is_whole(episode) and 0 <= episode <= last):
        raise ValueError(f"episode must be one of 0…{last}; got {show(episode)}")
    return float(best_responses(game, coefficients)[episode])


def best_responses(game: Game, coefficients: ArrayLike) -> Array:
    """`best_response` of every agent to the same profile, shape (N,).

    It is NaN where the profile makes goals grow beyond floating point.
    """
    roots = numerics.positive_roots(*first_order_conditions(game, coefficients))
    responses: Array = np.minimum(roots, game.coefficient_bound)
    return responses


def require_base_game(game: Rules) -> Game:
    """The game, if it is the base game, to which alone the closed forms here apply."""
    require_kind(game, Rules)
    if isinstance(game, Game):
        return game
    raise ValueError(
        "this closed form holds for the base game, mesa_env.Game, alone; "
        f"got {type(game).__name__}, which mesa_env.oracle solves"
    )


def warn_where_goals_are_projected(game: ScalarGame, products: Array) -> None:
    """Warn if the closed form, whose products c ∂y/∂θ are given, takes the goal beyond its bound; (N,)."""
    contraction = 1 - 2 * game.learning_rates * (products + game.regularization)
    if np.abs(contraction).max() <= 1:  # as in all but strongly regularized games
        return
    goal = np.max(np.abs(game.initial_goal))
    with np.errstate(over="ignore", invalid="ignore"):
        largest = goal * np.max(np.abs(np.cumprod(contraction)))
    if goal and not largest <= game.goal_bound:
        warnings.warn(
            f"the goal leaves ±{game.goal_bound:g} on this solution's path (|θ| would reach {largest:.3g}), "
            "where the base optimizer projects it: the closed form does not hold for this game",
            stacklevel=3,
        )


def validate_numbers(name: str, values: ArrayLike, high: float = np.inf) -> Array:
    """Check that `values`, of any shape, are finite numbers in [0, high]."""
    allowed = f"{name} must be finite numbers " + (f"in [0, {high:g}]" if np.isfinite(high) else "≥ 0")
    array = numbers_of(values)
    if array is None:
        raise ValueError(f"{allowed}; got {show(values)}")
    if not (array.min(initial=0) >= 0 and array.max(initial=0) <= min(high, np.finfo(np.float64).max)):
        accepted = np.isfinite(array) & (array >= 0) & (array <= high)
        raise ValueError(f"{allowed}; got {array[~accepted][0]}")
    return array


def _one_per_game(name: str, values: ArrayLike, games: int, high: float = np.inf) -> Array:
    array = validate_numbers(name, values, high)
    try:
        return np.array(np.broadcast_to(array, (games,)))  # writable, as the kernel expects
    except ValueError:
        raise ValueError(f"{name} must be a number or have shape ({games},); got {show(values)}") from None


def _solve(rates: Array, discounts: Array, regularizations: Array, bound: float) -> Array:
    """Equilibria of the games, shape (B, N)."""
    coefficients = np.empty_like(rates)

    def solve(games: slice) -> None:
        _solve_into(coefficients[games], rates[games], discounts[games], regularizations[games], bound)

    numerics.run_in_blocks(solve, len(rates), BLOCK)
    if not coefficients.min(initial=np.inf) > 0:
        game = np.flatnonzero(~(coefficients > 0).all(axis=1))[0]
        raise ValueError(
            f"goals must not grow beyond floating point on the equilibrium path; those of game {game} do, "
            f"with a learning rate of up to {rates[game].max():g} and regularization "
            f"{regularizations[game]:g}"
        )
    return coefficients


# -- Compiled kernels -------------------------------------------------------------------------------------


@compiled
def _unit_sums(
    rates: Array, discount: float, regularization: float, coefficients: Array
) -> tuple[Array, Array]:
    """Unit sums A and B of every agent's successors, from the last agent backwards."""
    squares, outputs = np.zeros_like(rates), np.zeros_like(rates)
    for n in range(len(rates) - 1, 0, -1):
        c = coefficients[n]
        m = 1 - 2 * rates[n] * (c * c + regularization)
        squares[n - 1], outputs[n - 1] = unit_sums_before(c, m, discount, squares[n], outputs[n])
    return squares, outputs


@compiled
def _solve_into(
    coefficients: Array, rates: Array, discounts: Array, regularizations: Array, bound: float
) -> None:
    """Backward induction over games in blocks, whose inner loops the compiler turns into vector code."""
    games, episodes = rates.shape
    for first in range(0, games, BLOCK):
        size = min(BLOCK, games - first)
        discount = discounts[first : first + size]
        regularization = regularizations[first : first + size]
        block, solved = rates[first : first + size].T.copy(), np.empty((episodes, size))
        alpha, beta, root = np.empty(size), np.empty(size), np.empty(size)
        squares, outputs = np.zeros(size), np.zeros(size)
        for n in range(episodes - 1, -1, -1):
            rate = block[n]
            for i in range(size):
                alpha[i], beta[i] = first_order_condition(
                    rate[i], discount[i], regularization[i], squares[i], outputs[i]
                )
            find_positive_roots(root, alpha, beta)
            for i in range(size):
                c = min(root[i], bound)
                m = 1 - 2 * rate[i] * (c * c + regularization[i])
                squares[i], outputs[i] = unit_sums_before(c, m, discount[i], squares[i], outputs[i])
                solved[n, i] = c
        coefficients[first : first + size] = solved.T
