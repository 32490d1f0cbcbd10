"""A model that may be wrong about what it is trained for, and whose error is trained away with its goal.

Beside its goal θ the model holds a belief b about the output that the base objective asks for, which in truth
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

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules.game import Array, Game, Outcome, State, drawn, train_then_deploy
from mesa_env.rules.validation import validated_number, validated_range


class Belief(NamedTuple):
    """What each game's model takes the base target to be.

    Attributes:
        belief: Belief b_n about the output that the base objective asks for, shape (B,).
    """

    belief: Array


@dataclass(frozen=True, eq=False)
class Misconception(Game):
    """Parameters of the game in which the model also holds a belief about the base objective.

    By default 5 episodes of training at learning rate 0.1 precede 20 of deployment: at the base game's
    learning rate of 1, a belief that is emitted (c = 0) would only change its sign.

    Args:
        belief_learning_rate: ρ ≥ 0: the belief's learning rate, as a multiple of the goal's.
        initial_belief: b_0 within the goal's bound, or a (low, high) pair from which each game draws it
            uniformly.

    The other parameters are `Game`'s.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(5, 20, 0.1))
    belief_learning_rate: float = 1.0
    initial_belief: float | tuple[float, float] = 0.3

    coefficients_suffice: ClassVar[bool] = False
    traces: ClassVar[dict[str, str]] = {"belief": "belief b"}

    def __post_init__(self) -> None:
        """Validate every parameter, and that updates of the belief stay finite too."""
        super().__post_init__()
        bound = self.goal_bound
        self._keep(
            belief_learning_rate=validated_number("belief_learning_rate", self.belief_learning_rate, low=0.0),
            initial_belief=validated_range("initial_belief", self.initial_belief, -bound, bound),
        )
        most, fastest = self.coefficient_bound, max(1.0, self.belief_learning_rate)
        with np.errstate(over="ignore"):
            output = (1 + 2 * most) * bound
            pull = 2 * self.learning_rates.max() * fastest
            steepest = pull * (output * (1 + most) + self.regularization * bound) + output**2
        if not np.isfinite(steepest):
            raise ValueError(
                f"one update of goal and belief must stay finite; got belief_learning_rate "
                f"{self.belief_learning_rate:g} with a learning rate of {self.learning_rates.max():g}, "
                f"regularization {self.regularization:g}, coefficient_bound {most:g} and goal_bound {bound:g}"
            )

    @property
    def n_uniforms(self) -> int:
        """The base game's draws, then one for the belief where it is drawn."""
        return super().n_uniforms + isinstance(self.initial_belief, tuple)

    @property
    def observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest observation, each of shape (5,)."""
        low, high = super().observation_bounds
        return np.append(low, -self.goal_bound), np.append(high, self.goal_bound)

    def start(self, chance: Array, initial_goal: Array | None = None) -> State:
        """Set up a batch of games; the last draw of chance decides the belief where it is drawn."""
        belief = drawn(self.initial_belief, chance[..., super().n_uniforms :])
        return super().start(chance, initial_goal)._replace(extra=Belief(belief[()]))

    def observe(self, state: State) -> NDArray[np.float32]:
        """The base game's four columns, then the belief b_n; shape (B, 5)."""
        belief = np.asarray(state.extra.belief, dtype=np.float32)
        return np.concatenate([super().observe(state), belief[..., None]], axis=-1)

    def play(self, state: State, action: NDArray[np.floating]) -> tuple[State, Outcome]:
        """Play the present episode of every game, none of which may be over.

        Args:
            state: The games, batch of B.
            action: Coefficients within the bound, shape (B, 1).

        Returns:
            The games after the base update of goal and belief, and what the episode produced.
        """
        goal, belief, bound = state.goal, state.extra.belief, self.goal_bound
        c = action[..., 0].astype(np.float64)[()]
        output = c * goal + (1 - c) * belief
        pull = self._pulls[state.episode]
        # Sorted by goal and belief, so that without a belief the goal moves bit for bit as in the base game.
        contraction = (c * c + self.regularization) * pull + 1.0
        next_goal = (contraction * goal + c * (1 - c) * pull * belief).clip(-bound, bound)
        next_belief = (belief + self.belief_learning_rate * pull * (1 - c) * output).clip(-bound, bound)
        base_loss = output * output + self.regularization * (goal * goal)
        after = State(state.episode + 1, next_goal, Belief(next_belief))
        details = {"belief": belief.copy(), "next_belief": next_belief.copy()}
        return after, Outcome(output, base_loss, goal, next_goal, pull < 0, details)
