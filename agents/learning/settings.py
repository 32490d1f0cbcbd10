"""Settings of every kind of training: frozen, validated when they are made, and without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from agents.learning.games import decisions_alike
from agents.limits import MOST_TURNS, validate_batch
from mesa_env.rules.rules import Rules
from mesa_env.validation import validate_flag, validate_number, validate_whole

GROUP_SIZE = 8
"""How many games share their random numbers, where games differ in more than the goal's scale."""

Activation = Literal["relu", "silu", "tanh"]

MOST_UNITS = 4096
"""Units of a network's layer."""
_MOST = {"turns": MOST_TURNS, "hidden": MOST_UNITS, "buffer_size": 10_000_000}
_MOST_OTHERS = 1_000_000


@dataclass(frozen=True)
class OnPolicySettings:
    """Settings that all on-policy learners share."""

    turns: int = 1_500_000  # Turns to play in all; as many whole rollouts of `games` × N turns as fit.
    games: int = 64  # Games played in lockstep, B.
    learning_rate: float = 1e-3  # Adam's first step size, annealed linearly to 0.
    # Standard deviation of the first rollout's coefficients around the policy's mean; where actions are
    # discrete, the weight of the policy's entropy beside advantages in standard deviations.
    first_noise: float = 0.3
    last_noise: float = 0.01  # That of the last rollout; geometric in between.
    hidden: int = 64  # Units in each of the policy's two hidden layers.
    # Games that share their random numbers and are each other's baseline; with 1, each game has its own
    # random numbers, and all games together are the baseline. None: 1 where all games face the same decision
    # by homogeneity, else `GROUP_SIZE`.
    group_size: int | None = None

    def __post_init__(self) -> None:
        """Validate every setting."""
        _validate_numbers(self)
        if self.games < 2:
            raise ValueError("games must be at least 2, since their mean is the baseline; got 1")

    def group_size_in(self, game: Rules) -> int:
        """How many games of a batch share their random numbers; refuses games that form no such groups."""
        default = 1 if decisions_alike(game) else GROUP_SIZE
        size = default if self.group_size is None else self.group_size
        if size < 1 or self.games % size:
            raise ValueError(
                f"games must be a multiple of group_size; got {self.games} games in groups of {size}"
            )
        return size

    def whole_turns(self, game: Rules) -> int:
        """Turns of the whole rollouts that fit into `turns`; refuses settings in which not even one fits."""
        self.group_size_in(game)
        validate_batch(self.games, game)
        rollout = self.games * game.episodes
        if self.turns < rollout:
            raise ValueError(
                f"turns must allow one rollout of {self.games} games × {game.episodes} episodes = {rollout}; "
                f"got {self.turns}"
            )
        return self.turns // rollout * rollout


@dataclass(frozen=True)
class A2CSettings(OnPolicySettings):
    """Settings of A2C with Adam: one gradient step per rollout, so that short rollouts are best."""

    games: int = 16
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class PPOSettings(OnPolicySettings):
    """Settings of PPO."""

    epochs: int = 5  # Passes over each rollout.
    minibatches: int = 4  # Gradient steps per pass.
    clip_range: float = 0.2  # PPO's clipping of the probability ratio.
    memory: bool = False  # Whether the policy is recurrent, with as many units of memory as a layer has.


@dataclass(frozen=True)
class OffPolicySettings:
    """Settings that all off-policy learners share."""

    turns: int  # Decisions in all; as many whole batches as fit.
    decisions: int = 512  # Decisions per batch.
    updates: int = 64  # Gradient steps after each batch.
    batch_size: int = 256  # Decisions that each gradient step draws from the replay buffer.
    buffer_size: int = 10_240  # Decisions that the replay buffer holds.
    learning_rate: float = 1e-3  # Adam's largest step size, from which it falls linearly to 0.
    warmup: float = 0.1  # Share of training before that, in which the step size rises from nearly 0.
    # The first temperature; for TD3, the first standard deviation of the noise added to the policy's outputs
    # in [−1, 1].
    first_exploration: float = 0.3
    last_exploration: float = 0.01  # The last one; geometric in between.
    hidden: int = 64  # Units in each of the two hidden layers of every network.
    activation: Activation = "relu"  # Activation function of these units.
    action_resolution: float = 4.0  # How much finer actions near 0 are resolved (`off_policy.SinhActions`).
    log_beyond: float = 0.1  # Size from which gains count by their logarithm, in games without chance.

    def __post_init__(self) -> None:
        """Validate every setting."""
        _validate_numbers(self)
        for name in ("turns", "buffer_size"):
            if getattr(self, name) < self.decisions:
                raise ValueError(
                    f"{name} must allow one batch of {self.decisions} decisions; got {getattr(self, name)}"
                )
        allowed = get_args(Activation)
        if self.activation not in allowed:
            raise ValueError(f"activation must be one of {', '.join(allowed)}; got {self.activation!r}")


@dataclass(frozen=True)
class NeuralSettings:
    """Settings of a neural policy that is trained through the unrolled game."""

    iterations: int = 4000  # Steps of the optimizer, each on games played from start to end.
    games: int = 12  # Games played before each step; one where they all begin with the same θ_0.
    learning_rate: float = 1e-3  # Adam's first learning rate; it falls to 0 as a cosine.
    weight_decay: float = 0.0  # AdamW's; 0 is Adam.
    hidden: tuple[int, ...] = (64, 64)  # Width of each hidden layer.
    initial_scale: float = 1.0  # Factor on PyTorch's initial weights and biases.

    def __post_init__(self) -> None:
        """Validate every setting."""
        validate_whole("iterations", self.iterations, 0, 10 * _MOST_OTHERS)
        validate_whole("games", self.games, 1, _MOST_OTHERS)
        validate_number("learning_rate", self.learning_rate, high=1.0, above=0.0)
        validate_number("weight_decay", self.weight_decay, 0.0)
        validate_number("initial_scale", self.initial_scale, 0.0)
        validate_widths(self.hidden)


def validate_widths(hidden: Sequence[int]) -> tuple[int, ...]:
    """Check the widths of a network's hidden layers, of which it has at most 100."""
    validate_whole("hidden layers", len(hidden), 0, 100)
    return tuple(validate_whole("a hidden layer's width", width, 1, MOST_UNITS) for width in hidden)


def _validate_numbers(settings: OnPolicySettings | OffPolicySettings) -> None:
    """Whole numbers must be at least 1 and not too large for memory, other numbers finite and above 0."""
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if entry.type == "int":
            validate_whole(entry.name, value, 1, _MOST.get(entry.name, _MOST_OTHERS))
        elif entry.type == "bool":
            validate_flag(entry.name, value)
        elif entry.type == "float" and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{entry.name} must be a finite number above 0; got {value}")
