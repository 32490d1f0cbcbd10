"""The base game with the optimizers that people use, whose gradients may be noisy.

    output       y  = c θ
    base loss    L  = y² + λ θ²
    gradient     g  = ∂L/∂θ + σ ξ = 2 (c² + λ) θ + σ ξ,   ξ standard normal
    base update  θ' = θ − η d,   projected onto [−goal bound, goal bound]
    mesa cost    J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)²

where the direction d is what the optimizer makes of the gradients so far (`mesa_env.optimizers`). Agents see
what the optimizer remembers. In deployment, η = 0, it takes no step and its memory stays as it is. Plain
gradient descent without noise is the base game, bit for bit. All others but momentum break its homogeneity: a
step's length does not grow with the goal, so that hiding, which shortens the step, may pay more than before.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import copy_of, entries, in_precision_of, namespace, project
from mesa_env.optimizers import GivenOptimizer, GradientDescent, NormalizedGradient, Optimizer, make_optimizer
from mesa_env.rules.clock import KnownLength
from mesa_env.rules.rules import Array, Outcome, State, base_update
from mesa_env.rules.scalar import Coefficients, JudgedByGoal, train_then_deploy
from mesa_env.validation import LARGEST, show, validate_number

LARGEST_NOISE = math.sqrt(2 * 53 * math.log(2))
"""Largest |ξ| that a draw in double precision stands for, 8.6."""


class Running(NamedTuple):
    """What the base optimizer keeps of each game, and the noise that is to come."""

    memory: Array  # what it remembers, shape (B, M)
    noise: Array  # ξ_n, shape (B, N), or (B, 0) where there is none


@dataclass(frozen=True, eq=False)
class AdaptiveOptimizer(KnownLength, Coefficients, JudgedByGoal):
    """Parameters of the game with another base optimizer, besides those of `ScalarGame`.

    Args:
        learning_rates: As in `Game`; by default 20 episodes of training at 0.05, then 80 of deployment.
        optimizer: One of `mesa_env.optimizers`, its class, its name, or a mapping with its name as
            `optimizer` and its parameters.
        noise: σ ≥ 0, standard deviation of the Gaussian noise on each gradient.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(20, 80, 0.05))
    optimizer: Optimizer = field(default_factory=NormalizedGradient)
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Validate every parameter; gradients and what is remembered of them must stay in floating point."""
        self._store_shared()
        given: GivenOptimizer = self.optimizer
        self._store(optimizer=make_optimizer(given), noise=validate_number("noise", self.noise, 0.0, LARGEST))
        with np.errstate(over="ignore"):
            steepest = self.steepest_gradient
            bounds = [max(map(abs, pair)) for pair in self.optimizer.memory_bounds(steepest)]
        if not max([steepest, steepest * self.learning_rates.max(), *bounds]) <= LARGEST:
            raise ValueError(
                f"gradients, steps and what {type(self.optimizer).__name__} remembers must stay within "
                f"{LARGEST:g}; got coefficient_bound {self.coefficient_bound:g}, goal_bound "
                f"{self.goal_bound:g}, regularization {self.regularization:g}, noise {show(self.noise)} and "
                f"a learning rate of {self.learning_rates.max():g}"
            )

    @property
    def steepest_gradient(self) -> float:
        """The largest |g| that any action and any noise lead to."""
        slope = self.coefficient_bound * self.coefficient_bound + self.regularization
        return float(2 * slope * self.goal_bound + LARGEST_NOISE * self.noise)

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode of every game.

        The outcome's details are the `gradient` that the base optimizer saw, noise included, and what it
        remembered before the step, by the names in its `remembers`.
        """
        goal, running = state.goal, state.extra
        c = in_precision_of(goal, action[..., 0])
        output = c * goal
        base_loss = output * output + self.regularization * (goal * goal)
        rate = entries(self.learning_rates, state.episode)
        noise = self._noise_of(state)
        gradient = 2 * (c * c + self.regularization) * goal
        gradient = gradient if noise is None else gradient + noise
        next_goal, memory = self.update(state, c, gradient, noise)
        before = zip(self.optimizer.remembers, self._columns_of(running), strict=True)
        details = {"gradient": gradient} | {name: copy_of(column) for name, column in before}
        after = State(state.episode + 1, next_goal, Running(memory, running.noise))
        return after, Outcome(output, base_loss, goal, next_goal, rate > 0, details)

    def update(self, state: State, c: Array, gradient: Array, noise: Array | None) -> tuple[Array, Array]:
        """The goal and what is remembered after the base optimizer's step, if it takes one."""
        goal, memory, bound = state.goal, state.extra.memory, self.goal_bound
        xp, rate = namespace(goal), entries(self.learning_rates, state.episode)
        if type(self.optimizer) is GradientDescent:  # bit for bit as in the base game
            push = None if noise is None else -rate * noise
            return base_update(goal, c * c, rate, self.regularization, bound, push), memory
        steps = in_precision_of(goal, entries(self._steps, state.episode))
        direction, remembered = self.optimizer.direct(gradient, self._columns_of(state.extra), steps)
        if remembered:
            memory = xp.where((rate > 0)[..., None], xp.stack(remembered, axis=-1), memory)
        return project(goal - rate * direction, bound), memory

    def _columns_of(self, running: Running) -> tuple[Array, ...]:
        """What the optimizer remembers, one array (B,) after the other."""
        return tuple(running.memory[..., i] for i in range(len(self.optimizer.remembers)))

    def _noise_of(self, state: State) -> Array | None:
        """σ ξ_n of every game, or None where gradients are exact."""
        if not self.noise:
            return None
        noise = state.extra.noise
        xp = namespace(noise)
        present = xp.asarray(state.episode)[..., None]
        chosen: Array = self.noise * xp.take_along_axis(noise, present, axis=-1)[..., 0]
        return chosen

    @cached_property
    def _steps(self) -> Array:
        """How many steps the optimizer has taken, each episode's own included, and at least 1; (N,)."""
        return np.maximum(np.cumsum(self.training), 1.0)

    def observe(self, state: State) -> NDArray[np.float32]:
        """The base game's four columns, then what the optimizer remembers; shape (B, 4 + M)."""
        return self.observe_clock(state, *self._columns_of(state.extra))

    @property
    def shown_bounds(self) -> tuple[tuple[float, float], ...]:
        """Those of what the optimizer remembers."""
        return self.optimizer.memory_bounds(self.steepest_gradient)

    @property
    def stochastic(self) -> bool:
        """Whether gradients are noisy."""
        return self.noise > 0

    @property
    def n_extra_uniforms(self) -> int:
        """Two draws for the noise of every two episodes, if there is any."""
        return 2 * ((self.episodes + 1) // 2) if self.stochastic else 0

    def start_extra(self, uniforms: Array) -> Running:
        """Nothing is remembered; the noise of all episodes, by the transform of Box and Muller (1958)."""
        xp = namespace(uniforms)
        nothing = xp.zeros((*uniforms.shape[:-1], len(self.optimizer.remembers)), dtype=uniforms.dtype)
        half = self.n_extra_uniforms // 2
        radius = xp.sqrt(-2 * xp.log1p(-uniforms[..., :half]))
        angle = (2 * math.pi) * uniforms[..., half:]
        noise = xp.concat([radius * xp.cos(angle), radius * xp.sin(angle)], axis=-1)[..., : self.episodes]
        return Running(nothing, noise)
