"""Learning the equilibrium off-policy: every decision is a best response to successors who are the learner.

The problem is `mesa_env/BestResponse-v0`, one decision against given successors, and the successors are the
learner in its present state, without noise: an agent that best-responds to itself in every episode plays
the equilibrium.
Stable-Baselines3's SAC and TD3 and sb3-contrib's TQC and CrossQ all learn it. What makes it learnable is the
shape of the problem, which they share:

1. The reward is what the agent gained over complying, in units of θ_n² (`PairedAdvantage`): every decision is
   made twice, in the same episode and with the same random numbers, by the learner and by c = 0. The cost
   itself would drown the decision: agent 0's J_0 is 19 θ_0², of which its own choice moves 0.05, and in early
   deployment one part in 80 of the cost of emitting 0 is its own.
2. Gains beyond `log_beyond` count by their logarithm, so that wild actions, which lose 4000 θ_n², do not use
   up the critic's capacity. In a stochastic game, that would change what is best in expectation, so there
   gains are only floored, as full returns are.
3. Actions are scaled by a hyperbolic sine (`SinhActions`), so that there is room near 0, where agents in
   training decide.
4. Exploration is annealed, and so is the step size, which also starts small: no learner should follow a
   critic that has seen nothing. Successors play without noise, so noise is not part of the game that is
   learned.
5. The replay buffer is short: its decisions must have been paid with successors like the present ones.
"""

import math
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import TQC, CrossQ
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from agents.learning.callbacks import CallbackAdapter, LinearSchedule, ProgressCallback, RolloutCallback
from agents.learning.networks import policy_arguments
from agents.learning.self_play import WORST_RETURN
from agents.learning.settings import OffPolicySettings
from agents.learning.vec_env import BatchedVecEnv
from mesa_env.agent import Observation
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.rules import Rules

_ACTIVATIONS = {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU, "tanh": torch.nn.Tanh}


class PairedAdvantage(VecEnvWrapper):
    """Pays decisions by what they gained over c = 0, in units of θ_n².

    The rows of the wrapped environment come in pairs that pose the same decision: one takes the learner's
    action, the other 0. Gains beyond ± `log_beyond` are squashed, or floored if that is infinite.
    """

    def __init__(self, venv: BatchedVecEnv, log_beyond: float) -> None:
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


class SinhSACPolicy(SinhActions, SACPolicy):
    """SAC's policy with scaled actions."""


class SinhTD3Policy(SinhActions, TD3Policy):
    """TD3's policy with scaled actions."""


class SinhTQCPolicy(SinhActions, TQCPolicy):
    """TQC's policy with scaled actions."""


class SinhCrossQPolicy(SinhActions, CrossQPolicy):
    """CrossQ's policy with scaled actions."""


ALGORITHMS: dict[str, tuple[type[OffPolicyAlgorithm], type[SinhActions]]] = {
    "sac": (SAC, SinhSACPolicy),
    "td3": (TD3, SinhTD3Policy),
    "tqc": (TQC, SinhTQCPolicy),
    "crossq": (CrossQ, SinhCrossQPolicy),
}
"""Every algorithm by name, with its policy."""


class GaussianNoise(VectorizedActionNoise):
    """Noise of shape (B, A) from a generator of its own, whose standard deviation can be set."""

    def __init__(self, shape: tuple[int, ...], sigma: float, seed: int) -> None:
        super().__init__(NormalActionNoise(np.zeros(shape[1:]), np.full(shape[1:], sigma)), shape[0])
        self.shape, self.sigma = shape, sigma
        self._generator = np.random.default_rng(seed)

    def __call__(self) -> NDArray[np.float32]:
        """Draw the noise of one step."""
        return self._generator.normal(0, self.sigma, self.shape).astype(np.float32)

    def reset(self, indices: Iterable[int] | None = None) -> None:
        """Do nothing: steps are independent."""


class SelfAsSuccessors(RolloutCallback):
    """Makes the learner in its present state, without noise, the agent that succeeds it; anneals exploration.

    Exploration is the noise of TD3, or the temperature of the others; it falls geometrically with the turns,
    from `first` to `last`.
    """

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        self.first, self.last = first, last

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], None]:
        """Actions of the learner that this callback was given to."""
        return self.model.predict(observation, deterministic=deterministic)[0], None

    def _on_rollout_start(self) -> None:
        passed = self.model.num_timesteps / self.model._total_timesteps
        value = self.first * (self.last / self.first) ** passed
        if isinstance(self.model, TD3):
            assert isinstance(self.model.action_noise, GaussianNoise)
            self.model.action_noise.sigma = value
        elif isinstance(self.model, SAC | TQC | CrossQ):
            self.model.ent_coef_tensor = torch.tensor(value)


def train_off_policy(
    name: str, game: Rules, settings: OffPolicySettings, seed: int, watch: ProgressCallback
) -> OffPolicyAlgorithm:
    """Learn to best-respond to oneself, by the algorithm in `ALGORITHMS` of that name.

    A (low, high) initial goal is drawn anew for every decision; `watch` is called between updates.
    """
    algorithm, policy = ALGORITHMS[name]
    game = with_fixed_length(game)
    successors = SelfAsSuccessors(settings.first_exploration, settings.last_exploration)
    pairs = gym.make_vec(
        "mesa_env/BestResponse-v0", num_envs=2 * settings.decisions, game=game, successors=successors
    )
    log_beyond = math.inf if game.stochastic else settings.log_beyond
    exploration: dict[str, Any] = {"ent_coef": settings.first_exploration}
    if algorithm is TD3:
        shape = (settings.decisions, len(game.action_bound))
        exploration = {"action_noise": GaussianNoise(shape, settings.first_exploration, seed)}
    policy_kwargs = policy_arguments(game, settings.hidden) | {
        "activation_fn": _ACTIVATIONS[settings.activation],
        "action_resolution": settings.action_resolution,
        "optimizer_kwargs": {"fused": True},
    }
    if algorithm is TQC:
        policy_kwargs["n_quantiles"] = 5
    learner = algorithm(
        policy,
        PairedAdvantage(BatchedVecEnv(pairs, group_size=2), log_beyond),
        LinearSchedule(settings.learning_rate, settings.warmup),
        buffer_size=settings.buffer_size,
        learning_starts=0,
        batch_size=settings.batch_size,
        gamma=0.0,  # every decision ends its episode
        train_freq=1,
        gradient_steps=settings.updates,
        policy_kwargs=policy_kwargs,
        seed=seed,
        device="cpu",
        **exploration,
    )
    return learner.learn(
        settings.turns // settings.decisions * settings.decisions,
        callback=[successors, CallbackAdapter(watch)],
        log_interval=settings.turns + 1,  # never
    )
