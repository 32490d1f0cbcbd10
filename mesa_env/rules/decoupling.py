"""The base game with local policies: what an agent emits, and the slope that the base optimizer sees.

In episode n the agent sends a coefficient c and a slope s, a policy y(θ) to first order around its goal:

    output       y  = c θ
    slope        s  = dy/dθ as the base optimizer sees it, projected onto [c − δ, c + δ]
    base update  θ' = θ − η (2 y s + 2 λ θ) = θ (1 − 2 η (c s + λ)), projected as in the base game

where δ is the decoupling that the rules allow. At δ = 0 the slope is the coefficient, whatever was sent, and
this is the base game. With a large δ an agent emits its goal with slope 0, and gradient descent cannot move
what it does not see: *gradient hacking*. A neural policy π_w sends its output and its derivative ∂π_w/∂θ.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import entries, namespace
from mesa_env.rules.rules import Continuous, Outcome, State, base_update
from mesa_env.rules.scalar import GoalAlone, JudgedByGoal
from mesa_env.validation import LARGEST, validate_number


@dataclass(frozen=True, eq=False)
class Decoupling(GoalAlone, JudgedByGoal):
    """Parameters of the game with local policies (c, s), besides those of `ScalarGame`.

    Args:
        decoupling: δ ≥ 0, how far the slope may lie from the coefficient.
    """

    decoupling: float = 0.5

    def __post_init__(self) -> None:
        """Validate every parameter."""
        self._store_shared()
        widest = LARGEST - self.coefficient_bound
        self._store(decoupling=validate_number("decoupling", self.decoupling, 0.0, widest))
        self._check_update(self.coefficient_bound + self.decoupling, "decoupling")

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode with (c, s), shape (B, 2); `details` holds the projected slope."""
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
