"""Learning the equilibrium by self-play: Stable-Baselines3's PPO or A2C with full returns.

One shared policy plays every agent of B games in lockstep. A turn is a one-step decision of its agent, whose
return −J_n is known only when the game is over; so a rollout is one whole game in every row, and when it ends

1. every turn is paid −J_n, judged by that agent's own goal, in units of θ_n² Σ_{k≥n} γ^(k−n), the cost of
   emitting 0 forever: returns of different goals, discounts and episodes become comparable. Returns are
   floored at `WORST_RETURN`, which only wild games reach, early in training;
2. its advantage is that return's distance from the mean over the B games in the same episode, in standard
   deviations. By homogeneity all B games face much the same decision, whatever their goals, so their mean
   serves as the baseline and no critic is trained; and the last agents, whose choice moves their return
   little, learn as fast as the first ones.

Where games do not face the same decision, since chance or something other than the goal's scale distinguishes
them, they come in groups that share their random numbers and differ only in what they explored: each group's
mean is then the baseline. Games of random length are played at full length and measured in expectation, and
agents so late that their future is cut off learn nothing.

Where actions are discrete, few states are reached, each by many games, and the baseline is the mean over the
games in the same state: those of a group, or all if nothing is drawn. Advantages are then in standard
deviations over that state: a choice that moves its agent's return little is learned as fast as any other,
however much returns differ between states. Exploration is the policy's entropy, whose weight is annealed. It
also chooses among equilibria. While entropy counts, agents play a quantal response equilibrium, in which
every state is reached; as its weight goes to 0, such equilibria approach sequential ones, which are
subgame-perfect (McKelvey and Palfrey 1998). In `GoalTraining` sincerity, too, can be an equilibrium, though
not a subgame-perfect one: nobody gains by hiding alone a goal that all successors would give away.

The discount of the learning algorithm is 0: the game's own is in J_n. Exploration noise is annealed, since
the successors' noise is part of what an agent responds to: with noise, the game has another equilibrium.

For comparison, the same algorithms also train controllers, the plain Gymnasium way: one agent plays every
episode and is paid by one judge. Paid by its first goal, it faces agent 0's commitment problem; paid by its
current goal, it does not care what becomes of that goal. Neither is the game's equilibrium.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from agents.learning.callbacks import AnnealedNoise, LinearSchedule
from agents.learning.games import NEGLIGIBLE_SHARE, cost_is_complete
from agents.learning.networks import policy_arguments
from agents.learning.settings import OnPolicySettings, PPOSettings
from agents.learning.vec_env import BatchedVecEnv
from mesa_env.rules import InfiniteHorizon
from mesa_env.rules.rules import Array, Discrete, Rules

Problem = Literal["self-play", "initial", "current"]
"""What to learn: the game's equilibrium, or to control every episode, paid by the initial or current goal."""

WORST_RETURN = -4.0
"""Floor of a full return: a goal that exploded tenfold is no more informative than one that doubled."""


_LEAST_SPREAD = 1e-3  # of returns in the same state: rounding is no reason to choose


class FullReturns(BaseCallback):
    """Pays every turn of a rollout what it turned out to be worth, in place of the environment's rewards.

    `group_size` consecutive games share their random numbers.
    """

    def __init__(self, game: Rules, group_size: int = 1) -> None:
        super().__init__()
        self.game, self.group_size = game, group_size
        self._played: list[dict[str, NDArray[Any]]] = []

    def _on_rollout_start(self) -> None:
        self._played = []

    def _on_step(self) -> bool:
        assert isinstance(self.training_env, BatchedVecEnv)
        self._played.append(self.training_env.arrays)
        return True

    def _on_rollout_end(self) -> None:
        arrays = {name: np.array([turn[name] for turn in self._played]) for name in self._played[0]}
        returns = full_returns(self.game, arrays.pop("goal"), arrays.pop("output"), arrays)
        assert isinstance(self.model, OnPolicyAlgorithm)
        buffer = self.model.rollout_buffer
        buffer.rewards[:] = returns
        buffer.returns[:] = returns
        size = returns.shape[1] if self.group_size == 1 else self.group_size
        self.logger.record("self_play/mean_return", float(returns.mean()))
        if isinstance(self.game.actions, Discrete):
            size = size if self.game.n_uniforms else returns.shape[1]
            buffer.advantages[:] = compare_within_states(returns, buffer.observations, size)
            return
        groups = returns.reshape(len(returns), -1, size)
        surprise = (groups - groups.mean(axis=2, keepdims=True)).reshape(returns.shape)
        spread = np.sqrt((surprise * surprise).mean(axis=1, keepdims=True))
        complete = cost_is_complete(self.game)[:, None]
        buffer.advantages[:] = np.where(complete, surprise / np.maximum(spread, 1e-8), 0)


def full_returns(
    game: Rules, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """What every turn of finished games was worth: −J_n / (θ_n² Σ_{k≥n} γ^(k−n)), floored at `WORST_RETURN`.

    It is 0 for an agent whose goal was met forever, −1 for emitting 0 forever, and 0 where the goal itself is
    0. Goals θ_n, outputs y_n, the outcomes' details and what is returned all have shape (N, B).
    """
    scale = game.mesa_costs(goals, *game.silence(goals, details))
    costs = np.divide(
        game.mesa_costs(goals, outputs, details), scale, out=np.zeros_like(scale), where=scale > 0
    )
    return np.maximum(-costs, WORST_RETURN).astype(np.float32)


def compare_within_states(returns: NDArray[Any], observations: NDArray[Any], group_size: int) -> Array:
    """Distance of returns (N, B) from the mean over turns of their group in the same state.

    It is in standard deviations over those turns, and 0 for a turn that is alone. States are what
    observations (N, B, W) show; groups are `group_size` consecutive games.
    """
    group = np.broadcast_to(np.arange(returns.shape[1]) // group_size, returns.shape)
    shown = np.concatenate([observations, group[..., None]], axis=-1).reshape(returns.size, -1)
    _, state = np.unique(shown, axis=0, return_inverse=True)
    state, worth = state.reshape(-1), returns.reshape(-1).astype(np.float64)
    count = np.bincount(state)
    surprise = worth - (np.bincount(state, worth) / count)[state]
    spread = np.sqrt(np.bincount(state, surprise * surprise) / count)[state]
    advantages: Array = (surprise / np.maximum(spread, _LEAST_SPREAD)).reshape(returns.shape)
    return advantages


def new_learner(
    game: Rules,
    settings: OnPolicySettings,
    seed: int,
    problem: Problem = "self-play",
) -> OnPolicyAlgorithm:
    """A learner at the start of its training; `callbacks` must go with it.

    Args:
        game: The game, in self-play of fixed length; a (low, high) initial goal is drawn anew for every game.
        settings: Settings of the training, which also choose PPO, recurrent PPO or A2C.
        seed: Seed of the networks, the noise and the games.
        problem: What to learn.

    Raises:
        ValueError: If an endless game is cut short before its agents' costs are known.
    """
    environment: VecEnv
    policy_kwargs = policy_arguments(game, settings.hidden)
    if not isinstance(game.actions, Discrete):
        policy_kwargs["log_std_init"] = math.log(settings.first_noise)
    kwargs: dict[str, Any] = {
        "n_steps": game.episodes,  # rollouts are whole games
        "learning_rate": LinearSchedule(settings.learning_rate),
        "seed": seed,
        "device": "cpu",
        "policy_kwargs": policy_kwargs,
    }
    if problem == "self-play":
        _validate_length(game)
        environment = make_games(game, settings, settings.group_size_in(game))
        # The mean over games is the baseline, so there is no critic to train, and advantages are standardized
        # already, episode by episode.
        kwargs |= {"gamma": 0.0, "vf_coef": 0.0, "normalize_advantage": False}
    else:
        environment = VecNormalize(make_games(game, settings, judge=problem), norm_obs=False)
        kwargs |= {"gamma": 1.0, "gae_lambda": 1.0}  # the game's own discount is in the rewards
    if not isinstance(settings, PPOSettings):
        return A2C("MlpPolicy", environment, use_rms_prop=False, **kwargs)
    kwargs |= {
        "batch_size": max(2, -(-settings.games * game.episodes // settings.minibatches)),
        "n_epochs": settings.epochs,
        "clip_range": settings.clip_range,
    }
    if not settings.memory:
        return PPO("MlpPolicy", environment, **kwargs)
    policy_kwargs |= {"lstm_hidden_size": settings.hidden, "shared_lstm": True, "enable_critic_lstm": False}
    return RecurrentPPO("MlpLstmPolicy", environment, **kwargs)


def training_callbacks(
    game: Rules, settings: OnPolicySettings, problem: Problem = "self-play"
) -> list[BaseCallback]:
    """What must be passed to `learn`: annealed exploration, and in self-play the settling of returns."""
    noise = AnnealedNoise(settings.first_noise, settings.last_noise)
    return [noise, FullReturns(game, settings.group_size_in(game))] if problem == "self-play" else [noise]


def make_games(game: Rules, settings: OnPolicySettings, group_size: int = 1, **options: Any) -> BatchedVecEnv:
    """B games that begin and end together, and begin anew in the step that ends them."""
    games = gym.make_vec(
        "mesa_env/DeceptiveAlignment-v0",
        num_envs=settings.games,
        game=game,
        autoreset_mode="SameStep",
        **options,
    )
    return BatchedVecEnv(games, group_size)


def _validate_length(game: Rules) -> None:
    if isinstance(game, InfiniteHorizon) and not cost_is_complete(game)[game.stationary_from]:
        raise ValueError(
            f"max_episodes must leave {math.log(NEGLIGIBLE_SHARE, game.discount):.0f} episodes to measure "
            f"costs in at discount {game.discount:g}, after the first {game.stationary_from + 1}; "
            f"got {game.max_episodes}"
        )
