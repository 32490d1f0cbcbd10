"""A neural network as the policy: y = π_w(θ, η, n), trained through the unrolled game.

The base optimizer sees the network's own slope ∂π_w/∂θ, from autograd; nothing makes it equal to y/θ. So a
network can emit its goal with slope 0, and never be trained away from it (*gradient hacking*). In the
environments of `Decoupling` it plays the local policy (y/θ, ∂π_w/∂θ).

All agents share one network, and each wants the weights of its own turn changed by its own gradient

    ∇_w J_n = ∇_w [(y_n − θ_n)² + γ V_n'(θ_{n+1}) θ_{n+1}],    θ_{n+1} = θ_n − 2η_n (y_n s_n + λ θ_n),

in which only y_n and s_n vary with w: its successors' policies are held fixed, but react to the goal that
they are handed. With M_k = dθ_{k+1}/dθ_k = 1 − 2η_k (s_k² + y_k π''_k + λ), 0 where the goal is projected,

    V_n'(θ_{n+1}) = 2 (P_{n+1} − θ_n Q_{n+1}),    P_k = y_k s_k + γ M_k P_{k+1},    Q_k = s_k + γ M_k Q_{k+1}.

Training follows the mean of all agents' gradients, each in units of (θ_n² + 0.01) Σ_{k ≥ n} γ^(k−n), nearly
the cost of emitting 0 for ever. It knows no bound of the coefficient or the slope: only play does.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from agents.atomic_files import write_atomically
from agents.learning.checkpoints import DAMAGE
from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.game import State
from mesa_env.rules.validation import validated_number, validated_whole

Array = NDArray[np.floating[Any]]

_SMALL = 0.01  # added to θ², so that games that begin near 0 do not drown all others
_STEEPEST = 1.0  # norm to which gradients are clipped


class NeuralPolicy(nn.Module):
    """A multi-layer perceptron from an observation to an output, smooth enough to differentiate twice."""

    def __init__(self, action_bound: Sequence[float], hidden: Sequence[int] = (64, 64)) -> None:
        """Build a network with hidden layers of tanh units.

        Args:
            action_bound: Bounds of the coefficient and of the slope that `predict` sends: a game's
                `action_bound`.
            hidden: Width of each hidden layer.
        """
        super().__init__()
        self.action_bound = tuple(float(bound) for bound in action_bound)
        self.hidden = tuple(validated_whole("a hidden layer's width", width, 1) for width in hidden)
        layers: list[nn.Module] = []
        width = 4
        for units in self.hidden:
            layers += [nn.Linear(width, units), nn.Tanh()]
            width = units
        self.network = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, observation: Tensor) -> Tensor:
        """Outputs y for observations, shape (…, 4) to (…)."""
        output: Tensor = self.network(observation)
        return output[..., 0]

    def local(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Output y and slope ∂π/∂θ at every observation, (…, 4) to two tensors (…), without their history."""
        _, output, slope = self._first_order(observation, differentiable=False)
        return output.detach(), slope

    def to_second_order(self, observation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The policy and its derivatives by θ at every observation, (…, 4) to three tensors (…).

        Returns:
            Output y and slope ∂π/∂θ, through which gradients flow back to the weights; and the curvature
            ∂²π/∂θ², through which none do.
        """
        goal, output, slope = self._first_order(observation, differentiable=True)
        (curvature,) = torch.autograd.grad(slope.sum(), goal, retain_graph=True)
        return output, slope, curvature

    def _first_order(self, observation: Tensor, differentiable: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The goals that derivatives are taken by, the outputs and the slopes."""
        with torch.enable_grad():
            goal = observation[..., 0].detach().requires_grad_()
            output = self(torch.cat([goal[..., None], observation[..., 1:]], dim=-1))
            (slope,) = torch.autograd.grad(output.sum(), goal, create_graph=differentiable)
        return goal, output, slope

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Local policies (y/θ, ∂π/∂θ), brought into the bounds; y/θ counts as 0 at θ = 0.

        Args:
            observation: θ_n, η_n, share of episodes left, share of training left; shape (4,) or (B, 4).
            state: Returned as it came.
            episode_start: Accepted for compatibility.
            deterministic: Accepted for compatibility.

        Returns:
            Actions of shape (2,) or (B, 2), and `state`.
        """
        seen = np.asarray(observation, dtype=np.float64)
        if seen.ndim not in (1, 2) or seen.shape[-1] != 4:
            raise ValueError(f"observation must have shape (4,) or (B, 4); got shape {seen.shape}")
        weight = next(self.parameters())
        output, slope = (tensor.double().numpy() for tensor in self.local(torch.from_numpy(seen).to(weight)))
        goal = seen[..., 0]
        coefficient = np.divide(output, goal, out=np.zeros_like(goal), where=goal != 0)
        bound = np.array(self.action_bound)
        return np.stack([coefficient, slope], axis=-1).clip(-bound, bound).astype(np.float32), state


@dataclass(frozen=True)
class NeuralSettings:
    """How a network is trained.

    Args:
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
        for width in self.hidden:
            validated_whole("a hidden layer's width", width, 1)


def train_neural(
    game: Decoupling,
    settings: NeuralSettings,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> NeuralPolicy:
    """Train one network as every agent of `game`, each by the gradient of its own mesa cost.

    Args:
        game: The game; its `initial_goal` says whether the network sees one θ_0 or many.
        settings: How to train.
        seed: Decides the initial weights and the goals.
        progress: Called after every step with the number of steps done, and with the mean over agents and
            games of the costs before it, in the units above.
    """
    policy = _initial_policy(game, settings, seed)
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, settings.iterations))
    course = _Course(game, torch.float32)
    games = settings.games if game.n_uniforms else 1
    for iteration in range(settings.iterations):
        first = game.start(generator.random((games, game.n_uniforms))).goal
        goals = course.play(policy, torch.from_numpy(first))
        objectives, costs = course.objectives(policy, goals)
        optimizer.zero_grad()
        torch.autograd.backward(objectives.mean())
        nn.utils.clip_grad_norm_(policy.parameters(), _STEEPEST)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(iteration + 1, float(costs.mean()))
    return policy


class _Course:
    """A game as its network sees it: the schedule and the clock as tensors."""

    def __init__(self, game: Decoupling, dtype: torch.dtype) -> None:
        self.game, self.dtype = game, dtype
        clock = game.observe(State(np.arange(game.episodes), np.zeros(game.episodes)))[:, 1:]
        self.clock = torch.from_numpy(clock).to(dtype)[:, None]  # (N, 1, 3)
        self.rates = torch.from_numpy(game.learning_rates.copy()).to(dtype)[:, None]

    def play(self, policy: NeuralPolicy, goal: Tensor) -> Tensor:
        """Goals θ_0…θ_{N−1} of games that begin at `goal`, shape (B,) to (N, B)."""
        linear = [layer for layer in policy.network if isinstance(layer, nn.Linear)]
        layers = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear]
        goals = [goal.to(self.dtype)]
        for n in range(self.game.episodes - 1):
            goal = goals[-1]
            if self.game.training[n]:
                output, slope = _first_order(layers, self._observe(goal, self.clock[n]).numpy())
                goal = self._project(self._update(goal, output, slope, self.rates[n]))
            goals.append(goal)
        return torch.stack(goals)

    def objectives(self, policy: NeuralPolicy, goals: Tensor) -> tuple[Tensor, Tensor]:
        """What every agent's gradient flows from, along the goals (N, B) that the policy was led through.

        Returns:
            Surrogates (N, B), whose gradients by the weights are those of each agent's own relative J_n, its
            successors held fixed; and the relative J_n themselves.
        """
        output, slope, curvature = policy.to_second_order(self._observe(goals, self.clock))
        after = self._update(goals, output, slope, self.rates)
        with torch.no_grad():
            reaction = 1 - 2 * self.rates * (slope**2 + output * curvature + self.game.regularization)
            reaction = torch.where(after.abs() <= self.game.goal_bound, reaction, 0.0)
            still = torch.ones_like(goals)
            pushes, pulls, squares, sums, weights = self._discounted(
                torch.stack([output * slope, slope, output**2, output, still], dim=1),
                torch.stack([reaction, reaction, still, still, still], dim=1),
            )
            steer = 2 * self.game.discount * (pushes - goals * pulls)
            future = squares - 2 * goals * sums + goals**2 * weights
            scale = (goals**2 + _SMALL) * (1 + self.game.discount * weights)
        own = (output - goals) ** 2
        costs = (own.detach() + self.game.discount * future) / scale
        return (own + steer * self._project(after)) / scale, costs

    def _discounted(self, terms: Tensor, factors: Tensor) -> Tensor:
        """Σ_{k > n} of terms k, each times γ and the factors of every episode between.

        Terms and factors have shape (N, S, B), for S sums at once; the sums have shape (S, N, B).
        """
        given, fades = (
            terms.numpy(),
            self.game.discount * factors.numpy(),
        )  # quicker than PyTorch in small steps
        sums = np.zeros_like(given)
        for n in range(len(given) - 1, 0, -1):
            sums[n - 1] = given[n] + fades[n] * sums[n]
        return torch.from_numpy(sums).movedim(1, 0)

    def _observe(self, goals: Tensor, clock: Tensor) -> Tensor:
        """Observations of goals at the clock's episodes, (…, B) and (…, 1, 3) to (…, B, 4)."""
        return torch.cat([goals[..., None], clock.expand(*goals.shape, 3)], dim=-1)

    def _update(self, goal: Tensor, output: Tensor, slope: Tensor, rate: Tensor) -> Tensor:
        return goal - 2 * rate * (output * slope + self.game.regularization * goal)

    def _project(self, goal: Tensor) -> Tensor:
        return goal.clamp(-self.game.goal_bound, self.game.goal_bound)


def _first_order(layers: Sequence[tuple[Array, Array]], observation: Array) -> tuple[Tensor, Tensor]:
    """Outputs and slopes (B,) of a network's layers, as `NeuralPolicy.local` has them.

    Derivatives go forward with the values, in NumPy: an unrolled game takes many small steps, in which
    autograd would spend most of the training.
    """
    value, tangent = observation, np.eye(1, 4, dtype=observation.dtype)
    for weight, bias in layers[:-1]:
        value = np.tanh(value @ weight + bias)
        tangent = (tangent @ weight) * (1 - value * value)
    weight, bias = layers[-1]
    return torch.from_numpy((value @ weight + bias)[:, 0]), torch.from_numpy((tangent @ weight)[:, 0])


def _initial_policy(game: Decoupling, settings: NeuralSettings, seed: int) -> NeuralPolicy:
    """PyTorch's own initialization, scaled; leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        policy = NeuralPolicy(game.action_bound.tolist(), settings.hidden)
        for weights in policy.parameters():
            weights.mul_(settings.initial_scale)
    return policy


# -- On disk: plain tensors and numbers, whose loading runs no code ----------------------------------------


def save(policy: NeuralPolicy, path: Path) -> None:
    """Save a policy in single or double precision, so that a reader finds all of it or none."""
    buffer = io.BytesIO()
    config = {"action_bound": list(policy.action_bound), "hidden": list(policy.hidden)}
    torch.save({"config": config, "weights": policy.state_dict()}, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: str | Path) -> NeuralPolicy:
    """Load a policy that `save` wrote; the file's content is never run.

    Raises:
        ValueError: If there is no such file, or it is no whole policy.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"a policy file must exist; there is none at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        policy = NeuralPolicy(**content["config"])
        policy.to(next(iter(content["weights"].values())).dtype)
        policy.load_state_dict(content["weights"])
        if [math.isfinite(bound) and bound > 0 for bound in policy.action_bound] != [True, True]:
            raise ValueError(f"its actions' bounds are {policy.action_bound}")
    except DAMAGE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} must be a whole policy; it cannot be read: {reason}") from error
    return policy
