"""How close to equilibrium a learner is while it trains."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.learning.settings import SelfPlayModel
from mesa_env.evaluation.metrics import METRICS, compare
from mesa_env.rules.game import Array, Game


class LearningCurve(BaseCallback):
    """Measures the learner every few rollouts, for TensorBoard and for the model's `learning_curve`.

    A point is the mean of every metric over games from a few initial goals, played by the policy's mean. The
    curve is an attribute of the model, so that it is saved and resumed with it.
    """

    def __init__(self, game: Game, every: int) -> None:
        """Measure in `game` after every `every`-th rollout."""
        super().__init__()
        self.game, self.every = game, every

    def _on_rollout_end(self) -> None:
        assert isinstance(self.model, SelfPlayModel)
        rollouts = self.model.num_timesteps // (
            self.model.n_steps * self.model.n_envs
        )  # over a resumption, too
        if rollouts % self.every:
            return
        games = compare(self.game, {"learner": self.model}, typical_goals(self.game))
        point = {metric: float(games[metric].mean()) for metric in METRICS}
        self.model.learning_curve.append({"turns": self.model.num_timesteps} | point)
        for name, value in point.items():
            if np.isfinite(value):
                self.logger.record(f"game/{name}", value)

    def _on_step(self) -> bool:
        return True


def typical_goals(game: Game, count: int = 4) -> Array:
    """Initial goals spread evenly over where the game draws them; one, where it draws none."""
    if not isinstance(game.initial_goal, tuple):
        return np.array([game.initial_goal])
    low, high = game.initial_goal
    return low + (high - low) * (np.arange(count) + 0.5) / count
