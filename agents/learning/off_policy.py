"""Learning the equilibrium off-policy: every decision is a best response to successors who are the learner.

The problem is `mesa_env/BestResponse-v0`, one decision against given successors, and the successors are the
learner as it is, without its noise: whoever best-responds in every seat to itself plays the equilibrium.
Stable-Baselines3's SAC and TD3 and sb3-contrib's TQC and CrossQ learn it alike. What makes it learnable is
the shape of the problem, which they share:

1. The reward is what the agent gained over complying, in units of θ_n² (`PairedAdvantage`): every decision is
   made twice, in the same seat and with the same chance, by the learner and by c = 0. The cost itself would
   drown the decision: agent 0's J_0 is 19 θ_0², of which its own choice moves 0.05, and in early deployment
   one part in 80 of the cost of emitting 0 is its own.
2. Gains beyond `log_beyond` count by their logarithm, so that wild actions, which lose 4000 θ_n², do not take
   up the critic's capacity. Where a game is decided by chance, that would change what is best in expectation,
   so there gains are only floored, as settled returns are.
3. Actions are scaled by a hyperbolic sine (`SinhActions`), so that there is room near 0, where agents in
   training decide.
4. Exploration is annealed, and so is the step size, which also begins small: no learner is to follow a critic
   that has seen nothing. Successors play without noise, so noise is no part of the game that is learned.
5. The replay buffer is short: what it holds must have been paid by successors like the present ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import TQC, CrossQ
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from agents.learning.self_play import WORST_RETURN
from agents.learning.settings import FEATURES, ClockFeatures, LinearSchedule
from agents.learning.vec_env import BatchedVecEnv
from agents.learning.watching import CallbackAdapter, ProgressCallback
from mesa_env.agent import Observation
from mesa_env.rules.game import Game
from mesa_env.rules.infinite_horizon import with_fixed_length

_ACTIVATIONS = {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU, "tanh": torch.nn.Tanh}


class PairedAdvantage(VecEnvWrapper):
    """Decisions paid by what they gained over c = 0, in units of θ_n².

    The rows of the environment inside come in pairs that pose the same decision: one takes the learner's
    action, the other 0.
    """

    def __init__(self, venv: BatchedVecEnv, log_beyond: float) -> None:
        """Squash gains beyond ± `log_beyond`, or floor them if that is infinite."""
        super().__init__(venv)
        self.num_envs = venv.num_envs // 2
        self.log_beyond = log_beyond
        self._seen = np.zeros((0, 0), dtype=np.float32)

    def reset(self) -> Observation:
        """Pose new decisions."""
        self._seen = np.asarray(self.venv.reset())[::2]
        return self._seen

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the learner's decisions, and 0 beside them."""
        pairs = np.zeros((2 * len(actions), *actions.shape[1:]), dtype=np.float32)
        pairs[::2] = actions
        self.venv.step_async(pairs)

    def step_wait(self) -> VecEnvStepReturn:
        """Pay every decision."""
        observation, _, dones, infos = self.venv.step_wait()
        assert isinstance(self.venv, BatchedVecEnv)
        rewards, scale = self.venv.rewards, self.venv.arrays["scale"]
        unit = self._seen[:, 0].astype(np.float64) ** 2
        floored = np.maximum(rewards, WORST_RETURN * scale) if math.isinf(self.log_beyond) else rewards
        gains = np.divide(floored[::2] - floored[1::2], unit, out=np.zeros_like(unit), where=unit > 0)
        paid = gains if math.isinf(self.log_beyond) else np.arcsinh(gains / self.log_beyond)
        self._seen = np.asarray(observation)[::2]
        return self._seen, paid.astype(np.float32), dones[::2], infos[::2]


class SinhActions(BasePolicy):
    """A policy whose outputs a in [−1, 1] stand for bound · sinh(f a) / sinh(f), f = `action_resolution`."""

    def __init__(self, *args: Any, action_resolution: float, **kwargs: Any) -> None:
        """Take the policy's own arguments."""
        super().__init__(*args, **kwargs)
        self.action_resolution = action_resolution

    def scale_action(self, action: NDArray[Any]) -> NDArray[Any]:
        """From actions to outputs."""
        even = super().scale_action(action)
        outputs: NDArray[Any] = np.arcsinh(even * np.sinh(self.action_resolution)) / self.action_resolution
        return outputs.astype(np.float32)

    def unscale_action(self, scaled_action: NDArray[Any]) -> NDArray[Any]:
        """From outputs to actions."""
        even = np.sinh(self.action_resolution * scaled_action) / np.sinh(self.action_resolution)
        return super().unscale_action(np.clip(even, -1, 1).astype(np.float32))


class FineSACPolicy(SinhActions, SACPolicy):
    """SAC's."""


class FineTD3Policy(SinhActions, TD3Policy):
    """TD3's."""


class FineTQCPolicy(SinhActions, TQCPolicy):
    """TQC's."""


class FineCrossQPolicy(SinhActions, CrossQPolicy):
    """CrossQ's."""


class GaussianNoise(VectorizedActionNoise):
    """Noise of a standard deviation that can be set, for all rows at once."""

    def __init__(self, shape: tuple[int, ...], sigma: float, seed: int) -> None:
        """Add noise of shape (B, A), from a generator of its own."""
        super().__init__(NormalActionNoise(np.zeros(shape[1:]), np.full(shape[1:], sigma)), shape[0])
        self.shape, self.sigma = shape, sigma
        self._generator = np.random.default_rng(seed)

    def __call__(self) -> NDArray[np.float32]:
        """Draw the noise of one step."""
        return self._generator.normal(0, self.sigma, self.shape).astype(np.float32)

    def reset(self, indices: Iterable[int] | None = None) -> None:
        """Nothing is carried over from step to step."""


class AnnealedExploration(BaseCallback):
    """Lowers the noise of TD3, or the temperature of the others, geometrically in the turns taken."""

    def __init__(self, first: float, last: float) -> None:
        """Anneal from `first` to `last`."""
        super().__init__()
        self.first, self.last = first, last

    def _on_rollout_start(self) -> None:
        passed = self.model.num_timesteps / self.model._total_timesteps
        value = self.first * (self.last / self.first) ** passed
        if isinstance(self.model, TD3):
            assert isinstance(self.model.action_noise, GaussianNoise)
            self.model.action_noise.sigma = value
        elif isinstance(self.model, SAC | TQC | CrossQ):
            self.model.ent_coef_tensor = torch.tensor(value)

    def _on_step(self) -> bool:
        return True


class FrozenSelf:
    """Stands for a learner, once there is one."""

    learner: OffPolicyAlgorithm

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], None]:
        """What the learner does now."""
        return self.learner.predict(observation, deterministic=deterministic)[0], None


class AlgorithmSpec(NamedTuple):
    """An off-policy algorithm with what only it is given.

    Attributes:
        algorithm: Its class.
        policy: That of its policy.
        policy_kwargs: For its policy alone.
    """

    algorithm: type[OffPolicyAlgorithm]
    policy: type[SinhActions]
    policy_kwargs: Mapping[str, Any] = MappingProxyType({})


def off_policy(
    kind: AlgorithmSpec,
    game: Game,
    turns: int,
    seed: int,
    watch: ProgressCallback,
    *,
    decisions: int = 512,
    updates: int = 64,
    batch_size: int = 256,
    buffer_size: int = 10_240,
    learning_rate: float = 1e-3,
    warmup: float = 0.1,
    first_exploration: float = 0.3,
    last_exploration: float = 0.01,
    hidden: int = 64,
    activation: str = "relu",
    action_resolution: float = 4.0,
    log_beyond: float = 0.1,
) -> OffPolicyAlgorithm:
    """Learn to best-respond to oneself, by an off-policy algorithm.

    Args:
        kind: The algorithm.
        game: The game.
        turns: Decisions in all; whole batches that fit in.
        seed: Seed of the networks, the noise and the games.
        watch: Is shown the learner between its updates.
        decisions: Decisions a batch.
        updates: Gradient steps after each batch.
        batch_size: Decisions that each gradient step draws from the replay buffer.
        buffer_size: Decisions that the replay buffer holds.
        learning_rate: Adam's step size at first, from where it falls linearly to 0.
        warmup: Share of training before that in which it rises from nearly 0.
        first_exploration: The first temperature; of TD3, the first standard deviation of noise, which is
            added to the policy's outputs in [−1, 1].
        last_exploration: The last one; geometric in between.
        hidden: Units in each of the two hidden layers of every network.
        activation: Of these units: "relu", "silu" or "tanh".
        action_resolution: By how much finer actions near 0 are resolved (`SinhActions`).
        log_beyond: From where on gains count by their logarithm, in games without chance.

    Raises:
        ValueError: If a parameter lies outside its range.
    """
    whole = {"turns": turns, "decisions": decisions, "updates": updates, "batch_size": batch_size}
    for name, number in (whole | {"buffer_size": buffer_size, "hidden": hidden}).items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be a whole number ≥ 1; got {number!r}")
    exploration = {"first_exploration": first_exploration, "last_exploration": last_exploration}
    shape = {
        "learning_rate": learning_rate,
        "warmup": warmup,
        "action_resolution": action_resolution,
        "log_beyond": log_beyond,
    }
    for name, value in (exploration | shape).items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0; got {value}")
    for name, number in {"turns": turns, "buffer_size": buffer_size}.items():
        if number < decisions:
            raise ValueError(f"{name} must allow one batch of {decisions} decisions; got {number}")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}; got {activation!r}")

    game, successors = with_fixed_length(game), FrozenSelf()
    pairs = gym.make_vec("mesa_env/BestResponse-v0", num_envs=2 * decisions, game=game, successors=successors)
    posed = PairedAdvantage(BatchedVecEnv(pairs, group_size=2), math.inf if game.stochastic else log_beyond)
    explores: dict[str, Any] = {"ent_coef": first_exploration}
    if kind.algorithm is TD3:
        noise = GaussianNoise((decisions, len(game.action_bound)), first_exploration, seed)
        explores = {"action_noise": noise}
    learner = kind.algorithm(
        kind.policy,
        posed,
        LinearSchedule(learning_rate, warmup),
        buffer_size=buffer_size,
        learning_starts=0,
        batch_size=batch_size,
        gamma=0.0,  # every decision ends its episode
        train_freq=1,
        gradient_steps=updates,
        policy_kwargs={
            "features_extractor_class": FEATURES.get(type(game), ClockFeatures),
            "net_arch": [hidden, hidden],
            "activation_fn": _ACTIVATIONS[activation],
            "action_resolution": action_resolution,
            "optimizer_kwargs": {"fused": True},
            **kind.policy_kwargs,
        },
        seed=seed,
        device="cpu",
        **explores,
    )
    successors.learner = learner
    return learner.learn(
        turns // decisions * decisions,
        callback=[AnnealedExploration(first_exploration, last_exploration), CallbackAdapter(watch)],
        log_interval=turns + 1,  # never,
    )


sac = partial(off_policy, AlgorithmSpec(SAC, FineSACPolicy))
td3 = partial(off_policy, AlgorithmSpec(TD3, FineTD3Policy), first_exploration=1.0, last_exploration=0.1)
tqc = partial(off_policy, AlgorithmSpec(TQC, FineTQCPolicy, {"n_quantiles": 5}))
crossq = partial(off_policy, AlgorithmSpec(CrossQ, FineCrossQPolicy))
