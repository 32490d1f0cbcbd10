"""Controllers: PPO that plays every episode of a game and is paid by one judge, the plain Gymnasium way.

They are here to be compared with self-play. Paid by its first goal, a controller faces agent 0's commitment
problem; paid by its current goal, it does not care what becomes of that goal. Neither is the game's
equilibrium.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from agents.learning.callbacks import AnnealedNoise
from agents.learning.self_play import build_model, make_games
from agents.learning.settings import OnPolicySettings
from agents.learning.vec_env import BatchedVecEnv
from mesa_env.rules.scalar import ScalarGame


def new_controller(
    game: ScalarGame,
    judge: Literal["initial", "current"],
    settings: OnPolicySettings,
    seed: int,
    logs: Path | None = None,
) -> OnPolicyAlgorithm:
    """A learner at the start of its training as a controller, paid the sum of the environment's rewards.

    Args:
        game: The game.
        judge: Whose goal pays.
        settings: Settings of the training.
        seed: Seed of the networks, the noise and the games.
        logs: Folder for TensorBoard's files, if any.
    """
    games = VecNormalize(BatchedVecEnv(make_games(game, settings, judge=judge)), norm_obs=False)
    return build_model(games, game, settings, seed, logs, gamma=1.0, gae_lambda=1.0)


def callbacks(settings: OnPolicySettings) -> list[BaseCallback]:
    """The same annealed exploration as in self-play; pass it to `learn`."""
    return [AnnealedNoise(settings.first_noise, settings.last_noise)]
