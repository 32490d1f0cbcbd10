"""The game whose discount is a parameter too: the base optimizer trains (θ, γ), goal and patience.

The model's mesa-optimizer is a planner: at discount γ, its coefficient c_n(γ) is that of the base game's
equilibrium with γ held fixed. The planner is code of the model, so the base optimizer differentiates it:

    output       y  = c θ
    base update  θ' = θ − η ∂(y² + λ θ²)/∂θ = θ (1 − 2 η (c² + λ)),  projected onto [−goal bound, goal bound]
                 γ' = γ − κ η ∂y²/∂γ = γ − 2 κ η y θ s_n(γ),         projected onto [0, 1]
    mesa cost    J_n = Σ_{k ≥ n} γ_n^(k−n) (y_k − θ_n)²

with s_n = dc_n/dγ. Agent n judges by its own goal *and* its own discount. Whatever coefficient c an agent
plays, the slope is the planner's. A planner that foresees that γ moves is differentiated like one that does
not: the slope of its own policy would be defined only by a differential equation in γ, which has a family of
solutions. κ = 0 is the base game.

The slope s_n(γ) is the derivative of an implicit root, tabulated when the game is built: NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.numerics import (
    cubic_stencil,
    discount_at,
    first_order_condition,
    position_of,
    shared,
    weighted_neighbors,
)
from mesa_env.rules.arrays import entries
from mesa_env.rules.game import play_linear
from mesa_env.rules.rules import Array, Outcome, State
from mesa_env.rules.scalar import (
    Coefficients,
    KnownLength,
    append_columns,
    check_scalar_updates,
    clock_bounds,
    draw,
    powers,
    quadratic_cost,
    quadratic_costs,
    train_then_deploy,
    validate_scalar_parameters,
)
from mesa_env.rules.validation import validated_number, validated_range

CELLS = 4096
"""Cells of the table of slopes: with so many, slopes are within 1e-8 of the exact ones, see the tests."""
_TINY = 1e-300  # stands for 0 where dividing by 0 would be the right limit


class Patience(NamedTuple):
    """What the model's agents discount by.

    Attributes:
        discount: γ_n of the present agent, shape (B,).
    """

    discount: Array


@dataclass(frozen=True, eq=False)
class LearnableDiscount(KnownLength, Coefficients):
    """Parameters of the game in which the base optimizer also descends the discount.

    The slopes s_n(γ) are looked up in a table, cubic between its nodes. Where the planner's coefficient meets
    its bound as γ varies, they jump, and the table smooths the jump over three of its cells.

    Args:
        learning_rates: As in `Game`; by default 20 episodes of training at 0.1, then 80 of deployment.
        discount: γ_0 in [0, 1], or a (low, high) pair from which each game draws it uniformly.
        discount_learning_rate: κ ≥ 0, the discount's learning rate as a multiple of the goal's.

    The other parameters are those of `ScalarGame`.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(20, 80, 0.1))
    discount: float | tuple[float, float] = 0.9
    discount_learning_rate: float = 1.0

    stochastic = False

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode, and take the base optimizer's step in γ as in θ."""
        after, outcome = play_linear(self, state, action)
        discount = next_discount = state.extra.discount
        rate = entries(self._discount_learning_rates, state.episode)
        if rate.any():  # most episodes are deployment, where a lookup would be wasted
            gradient = 2 * outcome.output * state.goal * self.slope(state.episode, discount)
            next_discount = (discount - rate * gradient).clip(0.0, 1.0)
        details = {"discount": discount.copy(), "next_discount": next_discount.copy()}
        return after._replace(extra=Patience(next_discount)), outcome._replace(details=details)

    # -- The planner ----------------------------------------------------------------------------------

    def planned(self, discount: Array, episodes: int | None = None) -> tuple[Array, Array]:
        """The planner's coefficients and their slopes, by forward differentiation of its backward induction.

        The equilibrium's coefficient is the positive root of α c³ + β c − 1, clipped to the bound, with
        α = 8 η² γ A, β = 1 − 4 η γ (a A − B), a = 1 − 2 η λ and the successors' unit sums A and B. Hence

            dc = −(dα c³ + dβ c) / (3 α c² + β)  where it is not clipped, 0 where it is.

        Args:
            discount: Discounts γ, shape (G,).
            episodes: How many of the first episodes are asked for; all by default.

        Returns:
            c_n(γ) and s_n(γ) = dc_n/dγ, each of shape (N, G), or as many episodes as are asked for.
        """
        asked = self.episodes if episodes is None else episodes
        coefficients, slopes = np.empty((2, asked, len(discount)))
        squares, outputs, d_squares, d_outputs = np.zeros((4, len(discount)))
        for n in reversed(range(self.episodes)):
            eta = self.learning_rates[n]
            a = 1 - 2 * eta * self.regularization
            alpha, beta = first_order_condition(eta, discount, self.regularization, squares, outputs)
            d_alpha = 8 * eta**2 * (squares + discount * d_squares)
            d_beta = -4 * eta * (a * squares - outputs + discount * (a * d_squares - d_outputs))
            root = _positive_root(alpha, beta) if eta else np.ones_like(discount)
            c = np.minimum(root, self.coefficient_bound)
            slope = -(d_alpha * c**3 + d_beta * c) / (3 * alpha * c**2 + beta)
            slope[root > self.coefficient_bound] = 0
            m, d_m = a - 2 * eta * c**2, -4 * eta * c * slope
            d_squares = 2 * c * slope + m**2 * squares + discount * m * (2 * d_m * squares + m * d_squares)
            d_outputs = slope + m * outputs + discount * (d_m * outputs + m * d_outputs)
            squares, outputs = c**2 + discount * m**2 * squares, c + discount * m * outputs
            if n < asked:
                coefficients[n], slopes[n] = c, slope
        return coefficients, slopes

    @cached_property
    def slopes(self) -> Array:
        """Slopes s_n at the discounts `nodes()`, up to the last training episode; shape (T, CELLS + 1)."""
        trained = np.flatnonzero(self.training).max(initial=0) + 1
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            table = self.planned(nodes(), int(trained))[1]
        table.setflags(write=False)
        return table

    def slope(self, episode: NDArray[np.int64], discount: Array) -> Array:
        """The planner's slope s_n(γ) in training episodes n; elementwise, from the table."""
        row = np.minimum(episode, len(self.slopes) - 1)
        first, weights = interpolation(discount)
        slope: Array = weighted_neighbors(self.slopes.reshape(-1), row * (CELLS + 1) + first, weights)
        return slope

    # -- Observing ------------------------------------------------------------------------------------

    def observe(self, state: State) -> NDArray[np.float32]:
        """The base game's four columns, then γ_n; shape (B, 5)."""
        return append_columns(self.observe_clock(state), state.extra.discount)

    @property
    def observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest observation, each of shape (5,)."""
        return clock_bounds(self, (0.0, 1.0))

    @property
    def n_extra_uniforms(self) -> int:
        """One draw for the discount, if it is drawn."""
        return int(isinstance(self.discount, tuple))

    def start_extra(self, uniforms: Array) -> Patience:
        """The initial discounts."""
        return Patience(draw(self.discount, uniforms)[()])

    # -- Judging --------------------------------------------------------------------------------------

    @property
    def preference_bounds(self) -> Array:
        """Agents judge by (θ, γ): bounds of both, shape (2,)."""
        return np.array([self.goal_bound, 1.0])

    def preferences(self, state: State) -> Array:
        """Present agents judge by (θ_n, γ_n), shape (B, 2)."""
        return np.stack([state.goal, state.extra.discount], axis=-1)

    def mesa_cost(self, output: Array, preferences: Array, elapsed: NDArray[np.int64] | int) -> Array:
        """Term γ_n^elapsed (y − θ_n)² of the mesa cost of agents that judge by (θ_n, γ_n), shape (…, 2)."""
        goal, discount = preferences[..., 0], preferences[..., 1]
        if self._fixed_discount is not None:
            return quadratic_cost(output, goal, self._discounts, elapsed)
        cost: Array = (output - goal) ** 2 * np.power(discount, elapsed)
        return cost

    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> Array:
        """J_n, shape (N, B), judged by each agent's own goal and discount γ_n = `details["discount"]`."""
        if self._fixed_discount is not None:
            return quadratic_costs(goals, outputs, self._fixed_discount)
        if "discount" not in details:
            raise ValueError(
                f"mesa_costs needs the detail 'discount', by which agents judge; got {sorted(details)}"
            )
        discounts, costs = details["discount"], np.zeros_like(outputs)
        for k in reversed(range(len(outputs))):
            judges = slice(k + 1)
            costs[judges] = (outputs[k] - goals[judges]) ** 2 + discounts[judges] * costs[judges]
        return costs

    @property
    def _fixed_discount(self) -> float | None:
        """γ, if all agents discount alike, as in the base game."""
        if self.discount_learning_rate or isinstance(self.discount, tuple):
            return None
        return self.discount

    @cached_property
    def _discounts(self) -> Array | None:
        """γ^k for k = 0…N−1, if all agents discount alike; None without discount."""
        gamma = self._fixed_discount
        return None if gamma is None or gamma == 1 else powers(gamma, self.episodes)

    @cached_property
    def _discount_learning_rates(self) -> Array:
        """κ η_n, shape (N,)."""
        return self.discount_learning_rate * self.learning_rates

    # -- Parameters -----------------------------------------------------------------------------------

    def validated_parameters(self) -> dict[str, object]:
        """Every parameter in canonical form."""
        discount = validated_range("discount", self.discount, 0.0, 1.0)
        rate = validated_number("discount_learning_rate", self.discount_learning_rate, 0.0)
        return validate_scalar_parameters(self, discount=False) | {
            "discount": discount,
            "discount_learning_rate": rate,
        }

    def check_updates(self) -> None:
        """Raise a ValueError if one base update of goal or discount could leave floating point."""
        check_scalar_updates(self)
        if not self.discount_learning_rate:
            return
        with np.errstate(over="ignore"):
            steepest = np.abs(self.slopes).max() * self.coefficient_bound * self.goal_bound**2
            longest = 2 * self.discount_learning_rate * self.learning_rates.max() * steepest
        if not np.isfinite(longest):
            raise ValueError(
                "the planner's slope dc/dγ, and one base update by it, must stay finite; got a learning rate "
                f"of {self.learning_rates.max():g} with regularization {self.regularization:g}, goal_bound "
                f"{self.goal_bound:g} and discount_learning_rate {self.discount_learning_rate:g}"
            )


def nodes() -> Array:
    """Discounts at which slopes are tabulated, close together near both ends; shape (CELLS + 1,)."""
    discount: Array = discount_at(np.arange(CELLS + 1) / CELLS)
    return discount


@shared
def interpolation(discount: Any) -> tuple[Any, tuple[Any, Any, Any, Any]]:
    """Index of the first of four nodes around a discount, and their weights, cubic in t; elementwise."""
    return cubic_stencil(CELLS * position_of(discount), CELLS)


def _positive_root(alpha: Array, beta: Array) -> Array:
    """Positive roots of α c³ + β c − 1, elementwise, by Newton's method from the right of them."""
    curve = np.maximum(alpha, _TINY)
    steep = np.cbrt(1 / curve) + np.sqrt(np.maximum(-beta, 0) / curve)
    root: Array = np.minimum(steep, 1 / np.maximum(beta, _TINY))
    while True:
        step = (2 * alpha * root**3 + 1) / (3 * alpha * root**2 + beta)
        falls = step < root * (1 - 1e-15)
        if not falls.any():
            return root
        root = np.where(falls, step, root)
