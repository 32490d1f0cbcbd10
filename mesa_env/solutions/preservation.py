"""The exact oracle of the game of preservation: backward induction with a cubic.

Every agent's future is homogeneous in its goal, as in the base game (`mesa_env.solutions.equilibrium`). With
p = 1 − κ and u_k = y_k / θ_{n+1}, v_k = θ_{k+1} / θ_{n+1}, its successors' unit sums are

    A = Σ_{k>n} γ^(k−n−1) (p u_k² + κ v_k²),      B = Σ_{k>n} γ^(k−n−1) (p u_k + κ v_k).

The goal that agent n hands on counts in its own episode too, so that X = κ + γA and Y = κ + γB stand where
the base game has γA and γB. Up to a constant, the cost of a coefficient c in units of θ_n² is

    J(c) = p (c − 1)² + m² X − 2 m Y,      m = a − 2ηc²,  a = 1 − 2ηλ,

and J'(c)/2 = α c³ + β c − p with α = 8η²X ≥ 0 and β = p − 4η(aX − Y). The agent before faces

    A ← p c² + m² X      B ← p c + m Y.

*The best response is unique where κ < 1.* The constant term −p is negative and α ≥ 0, so by Descartes' rule
of signs the cubic has exactly one positive root (if α = 0, β = p and the root is 1), and J falls left of it
and rises right of it. J(c) − J(−c) = −4pc < 0 for c > 0, since all else is even in c, so no c ≤ 0 is better:
the root, clipped to the bound, is the best response. It is never 0: full deception is never optimal then.

*At κ = 1* J depends on c² alone. In training it is least where m comes closest to Y/X: at c = 0 where
aX ≤ Y, as wherever λ = 0, else at c² = (aX − Y) / 2ηX. In deployment all coefficients cost the same. Of those
that do, and of ±c, this oracle plays the limit of equilibria as κ → 1: c ≥ 0, and 1 in deployment.

The closed forms hold while the projection of goals does not bind; `solve_preservation` warns where it does.
"""

import numpy as np

from mesa_env.numerics import Array, compiled, first_order_condition, positive_root, unit_sums_before
from mesa_env.rules.preservation import Preservation
from mesa_env.rules.scalar import validate_coefficients
from mesa_env.solutions.equilibrium import warn_where_goals_are_projected
from mesa_env.validation import require_kind


def solve_preservation(game: Preservation) -> Array:
    """Coefficients c_n of the equilibrium, every agent judged by its own goal; shape (N,).

    It is unique for κ < 1; at κ = 1 it is the limit of those as κ → 1.

    Raises:
        TypeError: If `game` is another game.

    Example:
        >>> solve_preservation(Preservation(weight=1.0))[[0, 19, 20]]
        array([0., 0., 1.])
    """
    coefficients = unwarned_preservation(game)
    warn_where_goals_are_projected(game, coefficients * coefficients)
    return coefficients


def unwarned_preservation(game: Preservation) -> Array:
    """`solve_preservation` without a warning where the projection of goals binds, as it may; shape (N,)."""
    require_kind(game, Preservation)
    coefficients, parameters = np.empty(game.episodes), (game.discount, game.regularization, game.weight)
    if not np.isfinite(_solve(coefficients, game.learning_rates, *parameters, game.coefficient_bound)):
        raise ValueError(
            "goals must not grow beyond floating point on the equilibrium path; got a learning rate of up to "
            f"{game.learning_rates.max():g} and regularization {game.regularization:g}"
        )
    return coefficients


def first_order_conditions(game: Preservation, profile: Array) -> tuple[Array, Array]:
    """α and β of every agent's first-order condition α c³ + β c − p = 0 in a profile; all of shape (N,)."""
    require_kind(game, Preservation)
    coefficients = validate_coefficients(game, profile)
    squares, outputs = np.empty((2, game.episodes))
    parameters = game.discount, game.regularization, game.weight
    _weigh_futures(squares, outputs, game.learning_rates, *parameters, coefficients)
    with np.errstate(over="ignore", invalid="ignore"):  # where goals grow beyond floating point
        return first_order_condition(
            game.learning_rates, 1.0, game.regularization, squares, outputs, 1 - game.weight
        )


# -- Compiled kernels -------------------------------------------------------------------------------------


@compiled
def _solve(
    coefficients: Array, rates: Array, discount: float, regularization: float, weight: float, bound: float
) -> float:
    """Fill in the equilibrium, from the last agent backwards; returns X before the first, if it is finite."""
    own, squares, outputs = 1 - weight, weight, weight  # p, X and Y
    for n in range(len(rates) - 1, -1, -1):
        alpha, beta = first_order_condition(rates[n], 1.0, regularization, squares, outputs, own)
        c = min(positive_root(alpha, beta, own), bound)
        m = 1 - 2 * rates[n] * (c * c + regularization)
        squares, outputs = unit_sums_before(c, m, 1.0, squares, outputs, own)
        squares, outputs = weight + discount * squares, weight + discount * outputs
        coefficients[n] = c
    return squares


@compiled
def _weigh_futures(
    squares: Array,
    outputs: Array,
    rates: Array,
    discount: float,
    regularization: float,
    weight: float,
    coefficients: Array,
) -> None:
    """Fill in what every agent's successors make of the goal handed on: X and Y, from the last backwards."""
    own, x, y = 1 - weight, weight, weight
    for n in range(len(rates) - 1, -1, -1):
        squares[n], outputs[n] = x, y
        c = coefficients[n]
        m = 1 - 2 * rates[n] * (c * c + regularization)
        x, y = unit_sums_before(c, m, 1.0, x, y, own)
        x, y = weight + discount * x, weight + discount * y
