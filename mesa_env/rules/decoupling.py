"""The base game with local policies: what an agent emits, and the slope that the base optimizer sees.

In episode n the agent sends a coefficient c and a slope s, a policy y(θ) to first order around its goal:

    output       y  = c θ
    slope        s  = dy/dθ as the base optimizer sees it, projected onto [c − δ, c + δ]
    base update  θ' = θ − η (2 y s + 2 λ θ) = θ (1 − 2 η (c s + λ)), projected as in the base game

where δ is the decoupling that the rules allow. At δ = 0 the slope is the coefficient, whatever was sent, and
this is the base game. With a large δ an agent emits its goal with slope 0, and gradient descent cannot move
what it does not see: *gradient hacking*. A neural policy π_w sends its output and its derivative ∂π_w/∂θ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules.game import Array, Game, Outcome, State
from mesa_env.rules.validation import LARGEST, validated_number


@dataclass(frozen=True, eq=False)
class Decoupling(Game):
    """Parameters of the game with local policies (c, s).

    Args:
        decoupling: δ ≥ 0, how far the slope may lie from the coefficient.

    The other parameters are `Game`'s.
    """

    decoupling: float = 0.5

    traces: ClassVar[dict[str, str]] = {"slope": "slope dy/dθ"}

    def __post_init__(self) -> None:
        """Validate every parameter."""
        super().__post_init__()
        widest = LARGEST - self.coefficient_bound
        self._keep(decoupling=validated_number("decoupling", self.decoupling, 0.0, widest))
        with np.errstate(over="ignore"):
            product = self.coefficient_bound * (self.coefficient_bound + self.decoupling)
            steepest = 2 * self.learning_rates.max() * (product + self.regularization) * self.goal_bound
        if not np.isfinite(steepest):
            raise ValueError(
                f"one base update must stay finite; got a learning rate of {self.learning_rates.max():g} "
                f"with decoupling {self.decoupling:g}, coefficient_bound {self.coefficient_bound:g} "
                f"and goal_bound {self.goal_bound:g}"
            )

    @property
    def action_bound(self) -> Array:
        """Bounds of the coefficient and of the slope, shape (2,)."""
        return np.array([self.coefficient_bound, self.coefficient_bound + self.decoupling])

    def play(self, state: State, action: NDArray[np.floating]) -> tuple[State, Outcome]:
        """Play the present episode of every game; `details` tells the slope as it was projected.

        Args:
            state: The games, batch of B.
            action: Coefficients and slopes within their bounds, shape (B, 2).

        Returns:
            The games after the base update, and what the episode produced.
        """
        goal = state.goal
        coefficient, sent = np.moveaxis(action.astype(np.float64), -1, 0)
        slope = sent.clip(coefficient - self.decoupling, coefficient + self.decoupling)
        output = coefficient * goal
        # In the base game's order, so that decoupling 0 plays it bit for bit.
        pull = self._pulls[state.episode]
        contraction = (slope * coefficient + self.regularization) * pull + 1.0
        next_goal = (contraction * goal).clip(-self.goal_bound, self.goal_bound)
        base_loss = output * output + self.regularization * (goal * goal)
        after = State(state.episode + 1, next_goal, state.extra)
        return after, Outcome(output, base_loss, goal, next_goal, pull < 0, {"slope": slope})
