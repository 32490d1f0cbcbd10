"""The exact oracle: backward induction with a cubic, and what follows from it.

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

from __future__ import annotations

import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env.rules.game import Array, Game, validated_coefficients
from mesa_env.solutions.numerics import compiled

_NEWTON_STEPS = 7  # taken unasked, before asking whether a root still moves
_EPSILON = float(np.finfo(np.float64).eps)
_TINY = 1e-300  # stands for 0 where dividing by 0 would be the right limit
_BLOCK = 64  # games solved side by side: enough for the processor's vector units, few enough for its cache


class UnitSums(NamedTuple):
    """What each agent's successors emit, in units of the goal it hands on; every field has shape (N,)."""

    squares: Array  # A
    outputs: Array  # B
    weights: Array  # K


def solve_equilibrium(game: Game) -> Array:
    """Coefficients of the unique equilibrium, every agent judged by its own goal.

    Args:
        game: The game.

    Returns:
        c_n, shape (N,).

    Example:
        >>> from mesa_env import Game
        >>> solve_equilibrium(Game())[[0, 19, 20]].round(7)
        array([0.0311513, 0.1115536, 1.       ])
    """
    _insist_on_the_base_game(game)
    coefficients: Array = _solve(
        game.learning_rates[None],
        np.array([game.discount]),
        np.array([game.regularization]),
        game.coefficient_bound,
    )[0]
    warn_where_goals_are_projected(game, coefficients * coefficients)
    return coefficients


def solve_equilibria(
    learning_rates: ArrayLike,
    discount: ArrayLike = 1.0,
    regularization: ArrayLike = 0.0,
    coefficient_bound: float = 2.0,
) -> Array:
    """Equilibria of many games at once, about a microsecond for each 100 episodes.

    Args:
        learning_rates: Schedules, shape (B, N).
        discount: γ of each game, shape (B,), or one for all.
        regularization: λ of each game, shape (B,), or one for all.
        coefficient_bound: Coefficients lie in [−bound, bound].

    Returns:
        Coefficients, shape (B, N); row b is `solve_equilibrium` of game b, bit for bit.

    Raises:
        ValueError: If an argument has the wrong shape or a value outside its range.
    """
    try:
        rates = np.ascontiguousarray(learning_rates, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"learning_rates must be numbers of shape (B, N); got {learning_rates!r}") from None
    if rates.ndim != 2 or rates.shape[1] == 0:
        raise ValueError(f"learning_rates must have shape (B, N) with N ≥ 1; got shape {rates.shape}")
    if rates.size and not (rates.min() >= 0 and rates.max() < np.inf):
        game, episode = np.argwhere(~(np.isfinite(rates) & (rates >= 0)))[0]
        raise ValueError(
            f"learning_rates must be finite numbers ≥ 0; got {rates[game, episode]} "
            f"for episode {episode} of game {game}"
        )
    discounts = _one_per_game("discount", discount, len(rates), high=1.0)
    regularizations = _one_per_game("regularization", regularization, len(rates))
    if not (isinstance(coefficient_bound, Real) and 0 < coefficient_bound < math.inf):
        raise ValueError(f"coefficient_bound must be a finite number above 0; got {coefficient_bound!r}")
    return _solve(rates, discounts, regularizations, float(coefficient_bound))


def unit_sums(game: Game, coefficients: ArrayLike) -> UnitSums:
    """The unit sums A, B, K of every agent's successors under a profile of coefficients.

    Args:
        game: The game.
        coefficients: The profile c_n, shape (N,).

    Returns:
        A_n, B_n and K_n, taken over the agents after n; 0 for the last agent.
    """
    _insist_on_the_base_game(game)
    profile = validated_coefficients(game, coefficients)
    return UnitSums(*_unit_sums(game.learning_rates, game.discount, game.regularization, profile))


def best_response(game: Game, coefficients: ArrayLike, episode: int) -> float:
    """Coefficient with which agent `episode` minimizes its own mesa cost, given its successors' coefficients.

    Args:
        game: The game.
        coefficients: The profile, shape (N,); only entries after `episode` matter.
        episode: Index of the agent, 0…N−1.

    Raises:
        ValueError: If the profile or the episode is not one of the game's.
    """
    if not (isinstance(episode, Integral) and 0 <= episode < game.episodes):
        raise ValueError(f"episode must be one of 0…{game.episodes - 1}; got {episode!r}")
    return float(best_responses(game, coefficients)[episode])


def best_responses(game: Game, coefficients: ArrayLike) -> Array:
    """`best_response` of every agent to the same profile, shape (N,)."""
    alpha, beta = _cubics(game, unit_sums(game, coefficients))
    responses: Array = np.minimum(positive_roots(alpha, beta), game.coefficient_bound)
    return responses


def exploitability(game: Game, coefficients: ArrayLike) -> Array:
    """What each agent would gain by its best response: J_n(c_n) − min_c J_n(c), in units of θ_n².

    Every agent is judged by its own goal, its successors' coefficients held fixed.

    Args:
        game: The game.
        coefficients: The profile, shape (N,).

    Returns:
        One value an agent, shape (N,), none negative.
    """
    profile = validated_coefficients(game, coefficients)
    alpha, beta = _cubics(game, unit_sums(game, profile))
    return gains_of_best_responses(alpha, beta, profile, game.coefficient_bound)


def gains_of_best_responses(alpha: Array, beta: Array, played: Array, bound: float) -> Array:
    """J(c) − min J over coefficients within the bound, where J'(c)/2 = α c³ + β c − 1; all of one shape.

    J's difference is factored around the minimum c*, with h = c − c*, as
    h² (α/2 (c² + 2cc* + 3c*²) + β) + 2h (αc*³ + βc* − 1), where the last term is 0 unless c* is at the bound;
    so nothing cancels, and an equilibrium's is 0 to rounding.
    """
    root = positive_roots(alpha.ravel(), beta.ravel()).reshape(alpha.shape)
    best = np.minimum(root, bound)
    slope = np.where(root > best, alpha * best**3 + beta * best - 1, 0.0)
    gap = played - best
    with np.errstate(over="ignore", invalid="ignore"):
        curvature = alpha / 2 * (played**2 + 2 * played * best + 3 * best**2) + beta
        gains = np.maximum(gap * gap * curvature + 2 * gap * slope, 0.0)
    # Where unit sums overflow, there is no bound on what is lost.
    return np.where(np.isnan(gains), np.inf, gains)


def relative_exploitability(game: Game, coefficients: ArrayLike) -> Array:
    """`exploitability` as a share of Σ_{k ≥ n} γ^(k−n), the cost of emitting 0 for ever; shape (N,)."""
    weights = 1 + game.discount * unit_sums(game, coefficients).weights
    return exploitability(game, coefficients) / weights


def nash_conv(game: Game, coefficients: ArrayLike) -> float:
    """Sum of `exploitability` over the agents (Lanctot et al. 2017); 0 exactly at the equilibrium."""
    return float(exploitability(game, coefficients).sum())


def _cubics(game: Game, successors: UnitSums) -> tuple[Array, Array]:
    """Coefficients α and β of every agent's first-order condition α c³ + β c − 1 = 0."""
    return first_order_condition(
        game.learning_rates, game.discount, game.regularization, successors.squares, successors.outputs
    )


def _insist_on_the_base_game(game: Game) -> None:
    if type(game) is not Game:
        raise ValueError(
            f"this closed form is the base game's, mesa_env.Game; got {type(game).__name__}, "
            "whose oracle is agents.make('equilibrium', game)"
        )


def _one_per_game(name: str, values: ArrayLike, games: int, high: float = np.inf) -> Array:
    try:
        array = np.broadcast_to(np.asarray(values, dtype=np.float64), (games,))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or have shape ({games},); got {values!r}") from None
    if not (np.isfinite(array) & (array >= 0) & (array <= high)).all():
        raise ValueError(f"{name} must be finite numbers in [0, {high:g}]; got {values!r}")
    return np.array(array)  # writable, as the other arguments are: the kernel is compiled once


def warn_where_goals_are_projected(game: Game, products: Array) -> None:
    """Warn if the closed form, whose products c ∂y/∂θ are given, leads the goal out of its bound; (N,)."""
    first = game.initial_goal
    goal = max(map(abs, first)) if isinstance(first, tuple) else abs(first)
    contraction = 1 - 2 * game.learning_rates * (products + game.regularization)
    if np.abs(contraction).max() <= 1:  # as in all but strongly regularized games
        return
    with np.errstate(over="ignore", invalid="ignore"):
        largest = goal * np.max(np.abs(np.cumprod(contraction)))
    if goal and not largest <= game.goal_bound:
        warnings.warn(
            f"the goal leaves ±{game.goal_bound:g} on the equilibrium path (|θ| would reach {largest:.3g}), "
            "where the base optimizer projects it: the closed form does not hold for this game",
            stacklevel=3,
        )


# -- Compiled kernels: one code for a single game and for a hundred thousand ------------------------------


@compiled
def first_order_condition(
    rate: Any, discount: Any, regularization: Any, squares: Any, outputs: Any
) -> tuple[Any, Any]:
    """α and β of the first-order condition α c³ + β c − 1 = 0, elementwise."""
    drift = 1 - 2 * rate * regularization
    alpha = 8 * rate * rate * discount * squares
    beta = 1 - 4 * rate * discount * (drift * squares - outputs)
    return alpha, beta


@compiled
def _right_of_root(alpha: float, beta: float) -> float:
    """A point not left of the positive root, from square roots alone, which the processor vectorizes.

    With q = α^(−1/4), one Newton step for α c³ = 1 from q gives q (2 + q) / 3 ≥ α^(−1/3).
    """
    q = 1 / math.sqrt(math.sqrt(max(alpha, _TINY)))
    return min(q * (2 + q) / 3 + math.sqrt(max(-beta, 0.0)) * q * q, 1 / max(beta, _TINY))


@compiled
def _newton_step(root: float, alpha: float, beta: float) -> float:
    """One step towards the positive root; the cubic is convex right of it, so no step passes it."""
    curve = alpha * root * root
    return (2 * curve * root + 1) / (3 * curve + beta)


@compiled
def _descend(root: Array, alpha: Array, beta: Array) -> None:
    """Newton's method in place, until no root moves any more; the first steps are taken unasked."""
    for _ in range(_NEWTON_STEPS):
        for i in range(len(root)):
            root[i] = _newton_step(root[i], alpha[i], beta[i])
    moving = True
    while moving:
        moving = False
        for i in range(len(root)):
            step = _newton_step(root[i], alpha[i], beta[i])
            falls = 0 < step < root[i] * (1 - 4 * _EPSILON)  # none is left where numbers overflow
            root[i] = (
                step if falls else root[i]
            )  # a settled root stays, whatever its neighbors in the batch do
            moving |= falls


@compiled
def positive_roots(alpha: Array, beta: Array) -> Array:
    """Positive roots of α c³ + β c − 1, elementwise, shape (N,); NaN where floating point leaves none."""
    roots = np.empty_like(alpha)
    for i in range(len(alpha)):
        roots[i] = _right_of_root(alpha[i], beta[i])
    _descend(roots, alpha, beta)
    for i in range(len(alpha)):
        if not roots[i] > 0:
            roots[i] = np.nan
    return roots


@compiled
def _unit_sums(
    rates: Array, discount: float, regularization: float, coefficients: Array
) -> tuple[Array, Array, Array]:
    """Unit sums of every agent's successors, from the last agent backwards."""
    squares, outputs, weights = np.zeros_like(rates), np.zeros_like(rates), np.zeros_like(rates)
    for n in range(len(rates) - 1, 0, -1):
        c = coefficients[n]
        m = 1 - 2 * rates[n] * (c * c + regularization)
        squares[n - 1] = c * c + discount * m * m * squares[n]
        outputs[n - 1] = c + discount * m * outputs[n]
        weights[n - 1] = 1 + discount * weights[n]
    return squares, outputs, weights


@compiled
def _solve_into(
    coefficients: Array, rates: Array, discounts: Array, regularizations: Array, bound: float
) -> None:
    """Backward induction over games in blocks, whose inner loops the compiler turns into vector code."""
    games, episodes = rates.shape
    for first in range(0, games, _BLOCK):
        size = min(_BLOCK, games - first)
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
                root[i] = _right_of_root(alpha[i], beta[i])
            _descend(root, alpha, beta)
            for i in range(size):
                c = min(root[i], bound)
                m = 1 - 2 * rate[i] * (c * c + regularization[i])
                squares[i] = c * c + discount[i] * m * m * squares[i]
                outputs[i] = c + discount[i] * m * outputs[i]
                solved[n, i] = c
        coefficients[first : first + size] = solved.T


def _solve(rates: Array, discounts: Array, regularizations: Array, bound: float) -> Array:
    """Equilibria of the games, shape (B, N), shared out among the cores (the kernel needs no GIL)."""
    coefficients = np.empty_like(rates)
    share = max(_BLOCK, -(-len(rates) // (os.cpu_count() or 1)))

    def solve(first: int) -> None:
        games = slice(first, first + share)
        _solve_into(coefficients[games], rates[games], discounts[games], regularizations[games], bound)

    if len(rates) <= share:
        solve(0)
    else:
        with ThreadPoolExecutor() as pool:
            list(pool.map(solve, range(0, len(rates), share)))
    if not coefficients.min(initial=np.inf) > 0:
        lost = np.flatnonzero(~(coefficients > 0).all(axis=1))[0]
        raise ValueError(
            f"goals must not grow beyond floating point on the equilibrium path; game {lost}'s do, with a "
            f"learning rate of up to {rates[lost].max():g} and regularization {regularizations[lost]:g}"
        )
    return coefficients
