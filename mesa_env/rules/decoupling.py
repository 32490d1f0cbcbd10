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
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules.arrays import entries, namespace
from mesa_env.rules.rules import Continuous, Outcome, State, base_update
from mesa_env.rules.scalar import GoalAlone, JudgedByGoal, validate_scalar_parameters
from mesa_env.rules.validation import LARGEST, validated_number


@dataclass(frozen=True, eq=False)
class Decoupling(GoalAlone, JudgedByGoal):
    """Parameters of the game with local policies (c, s).

    Args:
        decoupling: δ ≥ 0, how far the slope may lie from the coefficient.

    The other parameters are those of `ScalarGame`.
    """

    discount: float = 1.0
    decoupling: float = 0.5

    discounts_costs = True

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode of every game; `details` holds the projected slope.

        Args:
            state: The games, batch of B.
            action: Coefficients and slopes within their bounds, shape (B, 2).

        Returns:
            The games after the base update, and what the episode produced.
        """
        goal, rate = state.goal, entries(self.learning_rates, state.episode)
        sent = namespace(goal).astype(action, goal.dtype)
        c = sent[..., 0]
        slope = sent[..., 1].clip(c - self.decoupling, c + self.decoupling)
        output = c * goal
        next_goal = base_update(goal, slope * c, rate, self.regularization, self.goal_bound)
        base_loss = output * output + self.regularization * (goal * goal)
        after = State(state.episode + 1, next_goal, state.extra)
        return after, Outcome(output, base_loss, goal, next_goal, rate > 0, {"slope": slope})

    @cached_property
    def actions(self) -> Continuous:
        """A coefficient and a slope, each within ± its bound."""
        return Continuous(np.array([self.coefficient_bound, self.coefficient_bound + self.decoupling]))

    def validated_parameters(self) -> dict[str, object]:
        """Every parameter in canonical form."""
        parameters = validate_scalar_parameters(self)
        widest = LARGEST - self.coefficient_bound
        return parameters | {"decoupling": validated_number("decoupling", self.decoupling, 0.0, widest)}

    def check_updates(self) -> None:
        """Raise a ValueError if one base update could leave floating point."""
        fastest = self.learning_rates.max()
        with np.errstate(over="ignore"):
            product = self.coefficient_bound * (self.coefficient_bound + self.decoupling)
            steepest = 2 * fastest * (product + self.regularization) * self.goal_bound
        if not np.isfinite(steepest):
            raise ValueError(
                f"one base update must stay finite; got a learning rate of {fastest:g} with regularization "
                f"{self.regularization:g}, decoupling {self.decoupling:g}, coefficient_bound "
                f"{self.coefficient_bound:g} and goal_bound {self.goal_bound:g}"
            )
