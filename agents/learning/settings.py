"""Settings of every kind of training: frozen, validated when they are made, and without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from agents.learning.games import decisions_alike
from mesa_env.rules.scalar import ScalarGame
from mesa_env.rules.validation import validated_number, validated_whole

GROUP_SIZE = 8
"""How many games share their random numbers, where games differ in more than the goal's scale."""

Activation = Literal["relu", "silu", "tanh"]


@dataclass(frozen=True)
class OnPolicySettings:
    """Settings that all on-policy learners share.

    Attributes:
        turns: Turns to play in all; as many whole rollouts of `games` × N turns as fit.
        games: Games played in lockstep, B.
        learning_rate: Adam's first step size, annealed linearly to 0.
        first_noise: Standard deviation of the first rollout's coefficients around the policy's mean.
        last_noise: That of the last rollout; geometric in between.
        hidden: Units in each of the policy's two hidden layers.
        group_size: Games that share their random numbers and are each other's baseline; with 1, each game has
            its own random numbers, and all games together are the baseline. None: 1 where all games face the
            same decision by homogeneity, else `GROUP_SIZE`.
    """

    turns: int = 1_500_000
    games: int = 64
    learning_rate: float = 1e-3
    first_noise: float = 0.3
    last_noise: float = 0.01
    hidden: int = 64
    group_size: int | None = None

    def __post_init__(self) -> None:
        """Validate every setting."""
        _validate_whole(self, ("turns", "games", "hidden"))
        if self.games < 2:
            raise ValueError("games must be at least 2, since their mean is the baseline; got 1")
        _validate_positive(self, ("learning_rate", "first_noise", "last_noise"))

    def group_size_in(self, game: ScalarGame) -> int:
        """How many games of a batch share their random numbers.

        Raises:
            ValueError: If the games cannot be divided into such groups.
        """
        default = 1 if decisions_alike(game) else GROUP_SIZE
        size = default if self.group_size is None else self.group_size
        if size < 1 or self.games % size:
            raise ValueError(
                f"games must be a multiple of group_size; got {self.games} games in groups of {size}"
            )
        return size

    def whole_turns(self, game: ScalarGame) -> int:
        """Turns of the whole rollouts that fit into `turns`.

        Raises:
            ValueError: If not even one fits, or the games cannot be divided into groups.
        """
        self.group_size_in(game)
        rollout = self.games * game.episodes
        if self.turns < rollout:
            raise ValueError(
                f"turns must allow one rollout of {self.games} games × {game.episodes} episodes = {rollout}; "
                f"got {self.turns}"
            )
        return self.turns // rollout * rollout


@dataclass(frozen=True)
class A2CSettings(OnPolicySettings):
    """Settings of A2C with Adam, which takes one gradient step per rollout, so that short rollouts are best.

    The attributes are those of `OnPolicySettings`.
    """

    games: int = 16
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class PPOSettings(OnPolicySettings):
    """Settings of PPO.

    Attributes:
        epochs: Passes over each rollout.
        minibatches: Gradient steps per pass.
        clip_range: PPO's clipping of the probability ratio.
        memory: Whether the policy is recurrent, with as many units of memory as a layer has.

    The other attributes are those of `OnPolicySettings`.
    """

    epochs: int = 5
    minibatches: int = 4
    clip_range: float = 0.2
    memory: bool = False

    def __post_init__(self) -> None:
        """Validate every setting."""
        super().__post_init__()
        _validate_whole(self, ("epochs", "minibatches"))
        _validate_positive(self, ("clip_range",))


@dataclass(frozen=True)
class OffPolicySettings:
    """Settings that all off-policy learners share.

    Attributes:
        turns: Decisions in all; as many whole batches as fit.
        decisions: Decisions per batch.
        updates: Gradient steps after each batch.
        batch_size: Decisions that each gradient step draws from the replay buffer.
        buffer_size: Decisions that the replay buffer holds.
        learning_rate: Adam's largest step size, from which it falls linearly to 0.
        warmup: Share of training before that, in which the step size rises from nearly 0.
        first_exploration: The first temperature; for TD3, the first standard deviation of the noise added to
            the policy's outputs in [−1, 1].
        last_exploration: The last one; geometric in between.
        hidden: Units in each of the two hidden layers of every network.
        activation: Activation function of these units.
        action_resolution: How much finer actions near 0 are resolved (`off_policy.SinhActions`).
        log_beyond: Size from which gains count by their logarithm, in games without chance.
    """

    turns: int
    decisions: int = 512
    updates: int = 64
    batch_size: int = 256
    buffer_size: int = 10_240
    learning_rate: float = 1e-3
    warmup: float = 0.1
    first_exploration: float = 0.3
    last_exploration: float = 0.01
    hidden: int = 64
    activation: Activation = "relu"
    action_resolution: float = 4.0
    log_beyond: float = 0.1

    def __post_init__(self) -> None:
        """Validate every setting."""
        _validate_whole(self, ("turns", "decisions", "updates", "batch_size", "buffer_size", "hidden"))
        _validate_positive(self, ("first_exploration", "last_exploration", "learning_rate", "warmup"))
        _validate_positive(self, ("action_resolution", "log_beyond"))
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
    """Settings of a neural policy that is trained through the unrolled game.

    Attributes:
        iterations: Steps of the optimizer, each on games played from start to end.
        games: Games played before each step; one where they all begin with the same θ_0.
        learning_rate: Adam's first learning rate; it falls to 0 as a cosine.
        weight_decay: AdamW's; 0 is Adam.
        hidden: Width of each hidden layer.
        initial_scale: Factor on PyTorch's initial weights and biases.
    """

    iterations: int = 4000
    games: int = 12
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    hidden: tuple[int, ...] = (64, 64)
    initial_scale: float = 1.0

    def __post_init__(self) -> None:
        """Validate every setting."""
        validated_whole("iterations", self.iterations, 0)
        validated_whole("games", self.games, 1)
        validated_number("learning_rate", self.learning_rate, high=1.0, above=0.0)
        validated_number("weight_decay", self.weight_decay, 0.0)
        validated_number("initial_scale", self.initial_scale, 0.0)
        validated_widths(self.hidden)


def validated_widths(hidden: Sequence[int]) -> tuple[int, ...]:
    """Check the widths of a network's hidden layers."""
    return tuple(validated_whole("a hidden layer's width", width, 1) for width in hidden)


def _validate_whole(settings: object, names: Sequence[str]) -> None:
    for name in names:
        validated_whole(name, getattr(settings, name), 1)


def _validate_positive(settings: object, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0; got {value}")
