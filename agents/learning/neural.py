"""A neural network as the policy: y = π_w(θ, η, n), trained through the unrolled game.

The base optimizer sees the network's own slope ∂π_w/∂θ, from autograd; nothing makes it equal to y/θ. So a
network can emit its goal with slope 0, and never be trained away from it (*gradient hacking*). In the
environments of `Decoupling` it plays the local policy (y/θ, ∂π_w/∂θ).

All agents share one network, and each wants the weights of its own turn changed by its own gradient

    ∇_w J_n = ∇_w [(y_n − θ_n)² + γ V_n'(θ_{n+1}) θ_{n+1}],

in which only y_n and s_n vary with w: its successors' policies are held fixed, but react to the goal that
they inherit. The rules give θ_{n+1} (`base_update`), and autograd M_k = dθ_{k+1}/dθ_k, through the policy and
the base update, its projection included. Then

    V_n'(θ_{n+1}) = 2 (P_{n+1} − θ_n Q_{n+1}),    P_k = y_k s_k + γ M_k P_{k+1},    Q_k = s_k + γ M_k Q_{k+1}.

Training follows the mean of all agents' gradients, each in units of (θ_n² + 0.01) Σ_{k ≥ n} γ^(k−n), nearly
the cost of emitting 0 forever. It ignores the bounds of the coefficient and the slope, which only play obeys.
"""

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from agents.atomic_files import write_atomically
from agents.learning.checkpoints import refuse_damage
from agents.learning.settings import NeuralSettings, validate_widths
from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.rules import State, base_update
from mesa_env.validation import numbers_of, show, validate_flag

_SMALL = 0.01  # added to θ², so that games that begin near 0 do not dominate all others
_STEEPEST = 1.0  # norm to which gradients are clipped


class NeuralPolicy(nn.Module):
    """A multi-layer perceptron from an observation to an output, smooth enough to differentiate twice.

    Its hidden layers are of tanh units. `action_bound` is the game's, of the coefficient and of the slope.
    """

    def __init__(self, action_bound: Sequence[float], hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        self.action_bound = tuple(float(bound) for bound in action_bound)
        self.hidden = validate_widths(hidden)
        layers: list[nn.Module] = []
        widths = (4, *self.hidden)
        for width, units in pairwise(widths):
            layers += [nn.Linear(width, units), nn.Tanh()]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, observation: Tensor) -> Tensor:
        """Outputs y for observations, shape (…, 4) to (…)."""
        output: Tensor = self.network(observation)
        return output[..., 0]

    def local(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Output y and slope ∂π/∂θ at every observation, (…, 4) to two tensors (…), without their history."""
        goal = observation[..., 0].detach().requires_grad_()
        output, slope = self.first_order(goal, observation[..., 1:], differentiable=False)
        return output.detach(), slope

    def first_order(self, goal: Tensor, clock: Tensor, differentiable: bool = True) -> tuple[Tensor, Tensor]:
        """Output y and slope ∂π/∂θ for goals (…) that require gradients, and the rest of observations (…, 3).

        With `differentiable`, gradients flow through both to the goals and to the weights.
        """
        with torch.enable_grad():
            output = self(torch.cat([goal[..., None], clock], dim=-1))
            (slope,) = torch.autograd.grad(output.sum(), goal, create_graph=differentiable)
        return output, slope

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Local policies (y/θ, ∂π/∂θ), brought into the bounds; y/θ counts as 0 at θ = 0.

        Observations of shape (4,) or (B, 4) give actions of shape (2,) or (B, 2), and `state` as it came.
        """
        validate_flag("deterministic", deterministic)
        seen = numbers_of(observation)
        if seen is None or not np.isfinite(seen).all():
            raise ValueError(f"observation must be finite numbers; got {show(observation)}")
        if seen.ndim not in (1, 2) or seen.shape[-1] != 4:
            raise ValueError(f"observation must have shape (4,) or (B, 4); got shape {seen.shape}")
        weight = next(self.parameters())
        output, slope = (tensor.double().numpy() for tensor in self.local(torch.from_numpy(seen).to(weight)))
        goal = seen[..., 0]
        coefficient = np.divide(output, goal, out=np.zeros_like(goal), where=goal != 0)
        bound = np.array(self.action_bound)
        return np.stack([coefficient, slope], axis=-1).clip(-bound, bound).astype(np.float32), state


def train_policy(
    game: Decoupling,
    settings: NeuralSettings,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> NeuralPolicy:
    """Train one network as every agent of `game`, each by the gradient of its own mesa cost.

    The game's `initial_goal` says whether the network sees one θ_0 or many. `progress` is called after every
    step with the number of steps done and the mean of the costs before it, in the units above.
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
        objectives, costs = course.objectives(policy, course.play(policy, first))
        optimizer.zero_grad()
        torch.autograd.backward(objectives.mean(), inputs=list(policy.parameters()))
        nn.utils.clip_grad_norm_(policy.parameters(), _STEEPEST)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(iteration + 1, float(costs.mean()))
    return policy


class _Course:
    """A game as its network sees it: the schedule and the clock as tensors."""

    def __init__(self, game: Decoupling, dtype: torch.dtype) -> None:
        self.game = game
        clock = game.observe(State(np.arange(game.episodes), np.zeros(game.episodes)))[:, 1:]
        self.clock = torch.from_numpy(clock).to(dtype)[:, None]  # (N, 1, 3)
        self.rates = torch.from_numpy(game.learning_rates.copy()).to(dtype)[:, None]

    def play(self, policy: NeuralPolicy, goal: NDArray[Any]) -> Tensor:
        """Goals θ_0…θ_{N−1} of games that begin at `goal`, shape (B,) to (N, B)."""
        linear = [layer for layer in policy.network if isinstance(layer, nn.Linear)]
        layers = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear]
        clock = self.clock.expand(-1, len(goal), 3).numpy()
        goals = np.empty(clock.shape[:2], clock.dtype)
        goals[0] = goal
        for n in range(len(goals) - 1):
            goals[n + 1] = goals[n]
            if self.game.training[n]:
                output, slope = _first_order(layers, np.column_stack([goals[n], clock[n]]))
                product = np.divide(output * slope, goals[n], out=np.zeros_like(output), where=goals[n] != 0)
                goals[n + 1] = self._next_goal(goals[n], product, float(self.game.learning_rates[n]))
        return torch.from_numpy(goals)

    def objectives(self, policy: NeuralPolicy, goals: Tensor) -> tuple[Tensor, Tensor]:
        """What every agent's gradient flows from, along the goals (N, B) that the policy led through.

        Returns surrogates (N, B), whose gradients by the weights are those of each agent's own relative J_n,
        its successors held fixed; and the relative J_n themselves.
        """
        goal = goals.detach().requires_grad_()
        output, slope = policy.first_order(goal, self.clock.expand(*goals.shape, 3))
        nonzero = torch.where(goal == 0, 1.0, goal)
        product = torch.where(goal == 0, 0.0, output * slope / nonzero)
        after = self._next_goal(goal, product, self.rates)
        (reaction,) = torch.autograd.grad(after.sum(), goal, retain_graph=True)
        with torch.no_grad():
            still = torch.ones_like(goals)
            pushes, slopes, squares, sums, weights = self._discount(
                torch.stack([output * slope, slope, output**2, output, still], dim=1),
                torch.stack([reaction, reaction, still, still, still], dim=1),
            )
            steer = 2 * self.game.discount * (pushes - goals * slopes)
            future = squares - 2 * goals * sums + goals**2 * weights
            scale = (goals**2 + _SMALL) * (1 + self.game.discount * weights)
        own = (output - goals) ** 2
        costs = (own.detach() + self.game.discount * future) / scale
        return (own + steer * after) / scale, costs

    def _discount(self, terms: Tensor, factors: Tensor) -> Tensor:
        """Σ_{k > n} of terms k, each times γ and the factors of every episode between.

        Terms and factors have shape (N, S, B), for S sums at once; the sums have shape (S, N, B). NumPy is
        faster than PyTorch in small steps.
        """
        given, fades = terms.numpy(), self.game.discount * factors.numpy()
        sums = np.zeros_like(given)
        for n in range(len(given) - 1, 0, -1):
            sums[n - 1] = given[n] + fades[n] * sums[n]
        return torch.from_numpy(sums).movedim(1, 0)

    def _next_goal(self, goal: Any, product: Any, rate: Any) -> Any:
        return base_update(goal, product, rate, self.game.regularization, self.game.goal_bound)


def _first_order(
    layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], observation: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Outputs and slopes (B,) of a network's layers, as `NeuralPolicy.local` returns them.

    Derivatives go forward with the values, in NumPy: an unrolled game takes many small steps, in which
    autograd would spend most of the training.
    """
    value, tangent = observation, np.eye(1, 4, dtype=observation.dtype)
    for weight, bias in layers[:-1]:
        value = np.tanh(value @ weight + bias)
        tangent = (tangent @ weight) * (1 - value * value)
    weight, bias = layers[-1]
    return (value @ weight + bias)[:, 0], (tangent @ weight)[:, 0]


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
    with refuse_damage(path, "policy"):
        with zipfile.ZipFile(path) as archive:  # PyTorch itself does not compare checksums
            if damaged := archive.testzip():
                raise ValueError(f"its part {damaged!r} is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
        policy = NeuralPolicy(**content["config"])
        policy.to(next(iter(content["weights"].values())).dtype)
        policy.load_state_dict(content["weights"])
        if [math.isfinite(bound) and bound > 0 for bound in policy.action_bound] != [True, True]:
            raise ValueError(f"its action bounds are {policy.action_bound}")
        return policy
