"""The schedule that takes most of a model's goal: all learning rates of training chosen jointly.

T rates η are announced before D episodes of deployment; agents play the exact equilibrium (γ = 1). With unit
sums A and B, L = Σ y² over training and S = ln |θ_T|, both from an agent on and in units of its goal,

    α c³ + β c − 1 = 0,   m = 1 − 2η (c² + λ),
    A ← c² + m² A,   B ← c + m B,   L ← c² + m² L,   S ← S + ln |m|.

The adjoint of this recursion runs forward in time, with dc = −(c³ dα + c dβ) / (3αc² + β) by implicit
differentiation, and yields the gradient of S and of L in all rates and in λ at the cost of one more pass.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from mesa_env import laws
from mesa_env.numerics import Array, compiled, first_order_condition, positive_root, unit_sums_before
from mesa_env.validation import (
    LARGEST,
    MOST_EPISODES,
    validate_number,
    validate_schedule,
    validate_whole,
)

_LEAST, _MOST = 1e-9, 1e3  # bounds of a rate
_DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0]])


class Measures(NamedTuple):
    """What training at given rates does, with its gradients; in units of the first goal."""

    log_retention: float  # ln |θ_T/θ_0|
    training_loss: float  # Σ y²/θ_0²
    retention_slopes: Array  # (T + 1,): d ln |θ_T/θ_0| / dη_n, and d/dλ last
    loss_slopes: Array  # (T + 1,)


class Optimum(NamedTuple):
    """The best rates found, and what is left of the goal under them."""

    rates: Array  # (T,)
    retention: float  # θ_T/θ_0
    training_loss: float  # Σ y²/θ_0²


def measure_schedule(learning_rates: ArrayLike, deploy: int, regularization: float = 0.0) -> Measures:
    """Log retention and training loss at announced rates (T,), with exact gradients in the rates and in λ.

    The bound on coefficients is left out; without regularization no coefficient exceeds 1.

    Raises:
        ValueError: If an argument is outside its range.
    """
    rates = validate_schedule(learning_rates)
    after = validate_whole("deploy", deploy, 0, MOST_EPISODES)
    weight = validate_number("regularization", regularization, 0, LARGEST)
    left, loss, slopes = _differentiate(rates, after, weight, _DIRECTIONS)
    return Measures(left, loss, slopes[0], slopes[1])


def optimize_schedule(
    train: int,
    deploy: int,
    total_rate: float | None = None,
    training_loss: float | None = None,
    regularization: float = 0.0,
) -> Optimum:
    """Announced rates that leave least of the goal, the best of local optima found from several starts.

    Args:
        train: T ≥ 1, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.
        total_rate: Bound of Σ η; None for no bound.
        training_loss: Bound of Σ y²/θ_0² over training; None for no bound.
        regularization: λ of every episode; above 0 only if Σ η is bounded below 1/(2λ), since one episode at
            η = 1/(2λ) takes the whole goal of a silent model.

    Raises:
        ValueError: If an argument is outside its range, or if no start leads to rates within the bounds.
    """
    length = validate_whole("train", train, 1, MOST_EPISODES)
    after = validate_whole("deploy", deploy, 1, MOST_EPISODES)
    weight = validate_number("regularization", regularization, 0, LARGEST)
    bounds = [
        None if bound is None else validate_number(name, bound, above=0.0, high=LARGEST)
        for name, bound in (("total_rate", total_rate), ("training_loss", training_loss))
    ]
    if weight and not (total_rate and 2 * weight * total_rate < 1):
        raise ValueError(
            f"total_rate must be less than 1 / (2 · regularization) = {0.5 / weight:g} where there is "
            f"regularization; got {total_rate}"
        )
    found = [_descend(start, after, weight, *bounds) for start in _find_starts(length, after, total_rate)]
    feasible = [optimum for optimum in found if optimum]
    if not feasible:
        raise ValueError(
            f"total_rate and training_loss must leave room for training; got {total_rate} and {training_loss}"
        )
    return min(feasible, key=lambda optimum: optimum.retention)


def _find_starts(train: int, deploy: int, total_rate: float | None) -> list[Array]:
    constant = laws.best_constant_rate(train, deploy)
    starts = [
        laws.best_schedule(train, deploy),
        laws.foresighted_schedule(train, deploy),
        np.full(train, constant),
        np.geomspace(0.1, 1, train),
    ]
    if total_rate is None:
        return starts
    # With regularization there are optima with one long step, which mostly decays a hidden goal, anywhere.
    for long in np.unique(np.linspace(0, train - 1, 5).round().astype(int)):
        start = 0.3 * total_rate * starts[0] / max(starts[0].sum(), total_rate)
        start[long] += 0.65 * total_rate
        starts.append(start)
    return [start * min(1, 0.95 * total_rate / start.sum()) for start in starts]


def _descend(
    start: Array, deploy: int, weight: float, total: float | None, loss: float | None
) -> Optimum | None:
    """The local optimum in log rates from a start; None if it is not within the bounds."""

    def measure(logarithms: Array) -> tuple[Array, Measures]:
        rates = np.exp(logarithms)
        left, shown, slopes = _differentiate(rates, deploy, weight, _DIRECTIONS)
        return rates, Measures(left, shown, slopes[0, :-1] * rates, slopes[1, :-1] * rates)

    def objective(logarithms: Array) -> tuple[float, Array]:
        _, at = measure(logarithms)
        return at.log_retention, at.retention_slopes

    limits = _constrain(measure, total, loss)
    method: Literal["SLSQP", "L-BFGS-B"] = "SLSQP" if limits else "L-BFGS-B"
    options: Any = {"ftol": 1e-13} if limits else {"ftol": 1e-15, "gtol": 1e-9}
    found = minimize(
        objective,
        np.log(start),
        jac=True,
        method=method,
        bounds=[(np.log(_LEAST), np.log(_MOST))] * len(start),
        constraints=limits,
        options=options | {"maxiter": 5000},
    )
    rates, at = measure(found.x)
    if any(limit["fun"](found.x) < -1e-6 for limit in limits):
        return None
    return Optimum(rates, float(np.exp(at.log_retention)), at.training_loss)


def _constrain(
    measure: Callable[[Array], tuple[Array, Measures]], total: float | None, loss: float | None
) -> list[Any]:
    """Constraints in SciPy's form: functions of log rates that must not be negative, with their gradients."""
    limits: list[Any] = []
    if total is not None:
        limits.append(
            {
                "type": "ineq",
                "fun": lambda logarithms: 1 - np.exp(logarithms).sum() / total,
                "jac": lambda logarithms: -np.exp(logarithms) / total,
            }
        )
    if loss is not None:
        limits.append(
            {
                "type": "ineq",
                "fun": lambda logarithms: 1 - measure(logarithms)[1].training_loss / loss,
                "jac": lambda logarithms: -measure(logarithms)[1].loss_slopes / loss,
            }
        )
    return limits


# -- Compiled kernels -------------------------------------------------------------------------------------


@compiled
def _differentiate(rates: Array, deploy: int, weight: float, directions: Array) -> tuple[float, float, Array]:
    """Log retention, training loss and, per direction in these two, the slopes in all rates and in λ."""
    train = len(rates)
    c, losses = np.empty(train), np.zeros(train + 1)
    squares, outputs = np.full(train + 1, float(deploy)), np.full(train + 1, float(deploy))
    left = 0.0
    for n in range(train - 1, -1, -1):
        alpha, beta = first_order_condition(rates[n], 1.0, weight, squares[n + 1], outputs[n + 1])
        c[n] = positive_root(alpha, beta)
        m = 1 - 2 * rates[n] * (c[n] * c[n] + weight)
        squares[n], outputs[n] = unit_sums_before(c[n], m, 1.0, squares[n + 1], outputs[n + 1])
        losses[n] = c[n] * c[n] + m * m * losses[n + 1]
        left += np.log(abs(m))
    slopes = np.zeros((len(directions), train + 1))
    for which in range(len(directions)):
        to_left, to_loss = directions[which]
        to_squares, to_outputs = 0.0, 0.0
        for n in range(train):
            rate, squared, output = rates[n], squares[n + 1], outputs[n + 1]
            drift = 1 - 2 * rate * weight
            alpha, beta = first_order_condition(rate, 1.0, weight, squared, output)
            m = drift - 2 * rate * c[n] * c[n]
            to_m = (
                2 * m * (to_squares * squared + to_loss * losses[n + 1]) + to_outputs * output + to_left / m
            )
            to_c = 2 * c[n] * (to_squares + to_loss) + to_outputs - 4 * rate * c[n] * to_m
            to_condition = -to_c / (3 * alpha * c[n] * c[n] + beta)
            to_alpha, to_beta = to_condition * c[n] ** 3, to_condition * c[n]
            slopes[which, n] = (
                -2 * (c[n] * c[n] + weight) * to_m
                + 16 * rate * squared * to_alpha
                + (8 * rate * weight * squared - 4 * (drift * squared - output)) * to_beta
            )
            slopes[which, train] += -2 * rate * to_m + 8 * rate * rate * squared * to_beta
            to_squares = to_squares * m * m + 8 * rate * rate * to_alpha - 4 * rate * drift * to_beta
            to_outputs = to_outputs * m + 4 * rate * to_beta
            to_loss *= m * m
    return left, losses[0], slopes
