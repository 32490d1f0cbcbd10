"""Showing a learner to whoever measures it while it trains."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback

from mesa_env.agent import Agent

ProgressCallback = Callable[[int, Agent], None]
"""Called with the turns so far and the agent as it is."""


class CallbackAdapter(BaseCallback):
    """Shows the learner between its updates."""

    def __init__(self, watch: ProgressCallback) -> None:
        """Show it to `watch`."""
        super().__init__()
        self._watch = watch

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps:
            self._watch(self.model.num_timesteps, self.model)

    def _on_step(self) -> bool:
        return True
