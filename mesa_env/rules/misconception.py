"""A model that may be wrong about what it is trained for, and whose error is trained away with its goal.

Besides its goal θ the model holds a belief b about the output that the base objective asks for; in truth it
is 0. The coefficient weighs the two, and the base optimizer descends the loss in both:

    output         y  = c θ + (1 − c) b
    base loss      L  = y² + λ θ²
    goal update    θ' = θ − η ∂L/∂θ   = θ − η (2 y c + 2 λ θ)
    belief update  b' = b − ρ η ∂L/∂b = b − 2 ρ η y (1 − c)
    mesa cost      J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)²

with goal and belief both projected onto [−goal bound, goal bound]. To emit c = 0 is to emit what the model
*believes* it is trained for: that shields the goal, and shows the belief. The goal judges; a belief is only
a means. Without one, b = 0 and ρ = 0, this is the base game. Everything is homogeneous in (θ, b) together.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import copy_of, entries, namespace, project
from mesa_env.rules.clock import KnownLength
from mesa_env.rules.rules import Array, Outcome, State, base_update
from mesa_env.rules.scalar import Coefficients, JudgedByGoal, draw, train_then_deploy
from mesa_env.validation import validate_number, validate_range


class Belief(NamedTuple):
    """Belief b_n of each game's model about the output that the base objective asks for, shape (B,)."""

    belief: Array


@dataclass(frozen=True, eq=False)
class Misconception(KnownLength, Coefficients, JudgedByGoal):
    """Parameters of the game in which the model also holds a belief, besides those of `ScalarGame`.

    By default 5 episodes of training at learning rate 0.1 precede 20 of deployment: at the base game's
    learning rate of 1, a belief that is emitted (c = 0) would only change its sign.

    Args:
        belief_learning_rate: ρ ≥ 0: the belief's learning rate, as a multiple of the goal's.
        initial_belief: b_0 within the goal's bound, or a (low, high) pair from which each game draws it
            uniformly.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(5, 20, 0.1))
    belief_learning_rate: float = 1.0
    initial_belief: float | tuple[float, float] = 0.3

    stochastic = False

    def __post_init__(self) -> None:
        """Validate every parameter; an update of goal or belief must stay in floating point."""
        self._store_shared()
        most, bound, fastest = self.coefficient_bound, self.goal_bound, self.learning_rates.max()
        ratio = validate_number("belief_learning_rate", self.belief_learning_rate, low=0.0)
        belief = validate_range("initial_belief", self.initial_belief, -bound, bound)
        self._store(belief_learning_rate=ratio, initial_belief=belief)
        with np.errstate(over="ignore"):
            output = (1 + 2 * most) * bound
            step = 2 * fastest * max(1.0, ratio)
            steepest = step * (output * (1 + most) + self.regularization * bound) + output**2
        if not np.isfinite(steepest):
            raise ValueError(
                f"one update of goal and belief must stay finite; got belief_learning_rate {ratio:g} "
                f"with a learning rate of {fastest:g}, regularization {self.regularization:g}, "
                f"coefficient_bound {most:g} and goal_bound {bound:g}"
            )

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode of every game; the base optimizer updates goal and belief."""
        goal, belief, bound = state.goal, state.extra.belief, self.goal_bound
        xp, rate = namespace(goal), entries(self.learning_rates, state.episode)
        c = xp.astype(action[..., 0], goal.dtype)
        output = c * goal + (1 - c) * belief
        # Sorted by goal and belief, so that without a belief the goal moves bit for bit as in the base game.
        push = c * (1 - c) * (-2 * rate) * belief
        next_goal = base_update(goal, c * c, rate, self.regularization, bound, push)
        step = self.belief_learning_rate * (-2 * rate) * (1 - c) * output
        next_belief = project(belief + step, bound)
        base_loss = output * output + self.regularization * (goal * goal)
        details = {"belief": copy_of(belief), "next_belief": copy_of(next_belief)}
        outcome = Outcome(output, base_loss, goal, next_goal, rate > 0, details)
        return State(state.episode + 1, next_goal, Belief(next_belief)), outcome

    def observe(self, state: State) -> NDArray[np.float32]:
        """The base game's four columns, then the belief b_n; shape (B, 5)."""
        return self.observe_clock(state, state.extra.belief)

    @property
    def shown_bounds(self) -> tuple[tuple[float, float]]:
        """The belief is projected as the goal is."""
        return ((-self.goal_bound, self.goal_bound),)

    @property
    def n_extra_uniforms(self) -> int:
        """One draw for the belief, if it is drawn."""
        return int(isinstance(self.initial_belief, tuple))

    def start_extra(self, uniforms: Array) -> Belief:
        """The initial beliefs."""
        return Belief(draw(self.initial_belief, uniforms)[()])
