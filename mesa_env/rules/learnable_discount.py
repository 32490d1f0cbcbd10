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

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env import numerics
from mesa_env.arrays import entries
from mesa_env.rules.clock import KnownLength
from mesa_env.rules.game import play_linear
from mesa_env.rules.rules import Array, Outcome, State
from mesa_env.rules.scalar import Coefficients, OutputsAlone, draw, train_then_deploy
from mesa_env.validation import validate_number, validate_range

CELLS = 4096
"""Cells of the table of slopes: with so many, slopes are within 1e-8 of the exact ones, see the tests."""
_MOST_EPISODES = 20_000
_TINY = 1e-300  # stands for 0 where dividing by 0 would be the right limit


class Patience(NamedTuple):
    """What the present agents discount by: γ_n, shape (B,)."""

    discount: Array


@dataclass(frozen=True, eq=False)
class LearnableDiscount(KnownLength, Coefficients, OutputsAlone):
    """Parameters of the game that also trains the discount, besides those of `ScalarGame`.

    The slopes s_n(γ) are looked up in a table, cubic between its nodes. Where the planner's coefficient meets
    its bound as γ varies, they jump, and the table smooths the jump over three of its cells.

    Args:
        learning_rates: As in `Game`; by default 20 episodes of training at 0.1, then 80 of deployment.
        discount: γ_0 in [0, 1], or a (low, high) pair from which each game draws it uniformly.
        discount_learning_rate: κ ≥ 0, the discount's learning rate as a multiple of the goal's. Where it is
            positive, a game has at most 20 000 episodes.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(20, 80, 0.1))
    discount: float | tuple[float, float] = 0.9
    discount_learning_rate: float = 1.0

    stochastic = False
    shown_bounds = ((0.0, 1.0),)

    def __post_init__(self) -> None:
        """Validate every parameter; an update of goal or discount must stay in floating point."""
        self._store_shared(validate_range)
        ratio = validate_number("discount_learning_rate", self.discount_learning_rate, 0.0)
        self._store(discount_learning_rate=ratio)
        self._check_update()
        if not ratio:
            return
        if self.episodes > _MOST_EPISODES:
            raise ValueError(
                f"a game whose discount is trained must have at most {_MOST_EPISODES} episodes, since its "
                f"planner is tabulated; got {self.episodes}"
            )
        numerics.announce_work("tabulating this game's planner", 2 * CELLS * self.episodes)
        with np.errstate(over="ignore"):
            steepest = np.abs(self.slopes).max() * self.coefficient_bound * self.goal_bound**2
            longest = 2 * ratio * self.learning_rates.max() * steepest
        if not np.isfinite(longest):
            raise ValueError(
                "the planner's slope dc/dγ, and one base update by it, must stay finite; got a learning rate "
                f"of {self.learning_rates.max():g} with regularization {self.regularization:g}, goal_bound "
                f"{self.goal_bound:g} and discount_learning_rate {ratio:g}"
            )

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

    def plan(self, discount: Array, episodes: int | None = None) -> tuple[Array, Array]:
        """The planner's coefficients and their slopes, by forward differentiation of its backward induction.

        The equilibrium's coefficient is the positive root of α c³ + β c − 1, clipped to the bound, with
        α = 8 η² γ A, β = 1 − 4 η γ (a A − B), a = 1 − 2 η λ and the successors' unit sums A and B. Hence

            dc = −(dα c³ + dβ c) / (3 α c² + β)  where it is not clipped, 0 where it is.

        From discounts γ, shape (G,), it returns c_n(γ) and s_n(γ) = dc_n/dγ, each of shape (N, G), or of only
        as many of the first episodes as are asked for.
        """
        asked = self.episodes if episodes is None else episodes
        coefficients, slopes = np.empty((2, asked, len(discount)))
        squares, outputs, d_squares, d_outputs = np.zeros((4, len(discount)))
        for n in reversed(range(self.episodes)):
            eta = self.learning_rates[n]
            a = 1 - 2 * eta * self.regularization
            alpha, beta = numerics.first_order_condition(eta, discount, self.regularization, squares, outputs)
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
            table = self.plan(nodes(), int(trained))[1]
        table.setflags(write=False)
        return table

    def slope(self, episode: NDArray[np.int64], discount: Array) -> Array:
        """The planner's slope s_n(γ) in training episodes n; elementwise, from the table."""
        row = np.minimum(episode, len(self.slopes) - 1)
        first, weights = interpolation(discount)
        slope: Array = numerics.weighted_neighbors(
            self.slopes.reshape(-1), row * (CELLS + 1) + first, weights
        )
        return slope

    def observe(self, state: State) -> NDArray[np.float32]:
        """The base game's four columns, then γ_n; shape (B, 5)."""
        return self.observe_clock(state, state.extra.discount)

    @property
    def n_extra_uniforms(self) -> int:
        """One draw for the discount, if it is drawn."""
        return int(isinstance(self.discount, tuple))

    def start_extra(self, uniforms: Array) -> Patience:
        """The initial discounts."""
        return Patience(draw(self.discount, uniforms)[()])

    @property
    def preference_bounds(self) -> Array:
        """Agents judge by (θ, γ): bounds of both, shape (2,)."""
        return np.array([self.goal_bound, 1.0])

    def preferences(self, state: State) -> Array:
        """Present agents judge by (θ_n, γ_n), shape (B, 2)."""
        return np.stack([state.goal, state.extra.discount], axis=-1)

    @cached_property
    def common_discount(self) -> float | None:
        """γ, if all agents discount alike, as in the base game."""
        if self.discount_learning_rate or isinstance(self.discount, tuple):
            return None
        return self.discount

    @cached_property
    def _discount_learning_rates(self) -> Array:
        """κ η_n, shape (N,)."""
        return self.discount_learning_rate * self.learning_rates


def nodes() -> Array:
    """Discounts at which slopes are tabulated, close together near both ends; shape (CELLS + 1,)."""
    return np.asarray(numerics.discount_at(np.arange(CELLS + 1) / CELLS))


@numerics.shared
def interpolation(discount: Any) -> tuple[Any, tuple[Any, Any, Any, Any]]:
    """Index of the first of four nodes around a discount, and their weights, cubic in t; elementwise."""
    return numerics.cubic_stencil(CELLS * numerics.position_of(discount), CELLS)


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
