"""What happens to a learner while it trains: annealing, measuring, saving, and showing its progress."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from gymnasium.spaces import Discrete
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from tqdm import tqdm

from agents.learning.checkpoints import save_checkpoint
from agents.learning.games import typical_goals
from mesa_env.agent import Agent
from mesa_env.evaluation.metrics import METRICS, compare
from mesa_env.rules.rules import Rules

ProgressCallback = Callable[[int, Agent], None]
"""Called with the turns so far and the agent in its present state."""


class RolloutCallback(BaseCallback):
    """A callback that does nothing within rollouts."""

    def _on_step(self) -> bool:
        return True


class LinearSchedule:
    """A step size that rises during the share `warmup` of training to `first`, and falls linearly to 0.

    It is a class so that it is saved by name and not by code.
    """

    def __init__(self, first: float, warmup: float = 0.0) -> None:
        self.first, self.warmup = first, warmup

    def __call__(self, progress_remaining: float) -> float:
        """The step size with a share of training remaining."""
        passed = 1 - progress_remaining
        if passed < self.warmup:
            return self.first * (passed / self.warmup + 1e-3)
        return self.first * progress_remaining


class AnnealedNoise(RolloutCallback):
    """Sets the exploration noise before every rollout, geometrically from `first` to `last`.

    It is the standard deviation of continuous actions; where they are discrete, the weight of the policy's
    entropy in the learner's objective.
    """

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        self.first, self.last = first, last

    def _on_training_start(self) -> None:
        if not self._discrete:
            self.model.policy.get_parameter("log_std").requires_grad_(False)

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, OnPolicyAlgorithm)
        rollout = self.model.n_steps * self.model.n_envs
        played = self.model.num_timesteps / max(self.model._total_timesteps - rollout, 1)
        noise = self.first * (self.last / self.first) ** played
        if self._discrete:
            self.model.ent_coef = noise
        else:
            self.model.policy.get_parameter("log_std").data.fill_(math.log(noise))
        self.logger.record("train/noise", noise)

    @property
    def _discrete(self) -> bool:
        return isinstance(self.model.action_space, Discrete)


class LearningCurve(RolloutCallback):
    """Measures a learner at evenly spaced turns: each metric's mean over games from a few initial goals.

    It measures whenever it is called, if a measurement is due; as a callback of Stable-Baselines3, that is at
    the end of a rollout, before the learner is updated with it, and TensorBoard gets the metrics, too. A
    point has `turns` and every metric; the `seconds` of training before it exclude the time of measuring.
    """

    def __init__(
        self,
        game: Rules,
        every: float,
        before: float = math.inf,
        points: Iterable[Mapping[str, float]] = (),
    ) -> None:
        """Start the clock, and measure in `game` every so many turns before `before`.

        A training that is resumed gives the `points` so far.
        """
        super().__init__()
        self.points = [dict(point) for point in points]
        self.seconds: list[float] = []
        self._game, self._every, self._before = game, every, before
        self._latest, self._elapsed, self._since = 0, 0.0, time.perf_counter()

    def __call__(self, turns: int, agent: Agent) -> None:
        """Measure the agent after so many turns, if a measurement is due."""
        turns = int(turns)
        due = turns // self._every > self._latest // self._every
        self._latest = max(self._latest, turns)
        if due and turns < self._before:
            self.stop()
            games = pd.DataFrame(compare(self._game, {"learner": agent}, typical_goals(self._game)))
            self._add(turns, {metric: float(games[metric].mean()) for metric in METRICS})
            self._since = time.perf_counter()

    def stop(self) -> float:
        """Stop the clock; returns the seconds of training so far."""
        self._elapsed += time.perf_counter() - self._since
        return self._elapsed

    def end(self, turns: int, metrics: Mapping[str, float]) -> None:
        """Close the curve with the evaluation after a training of `turns`, once the clock has stopped."""
        self._add(max(turns, self._latest), metrics)

    def column(self, name: str) -> list[float]:
        """One quantity along the curve: `turns`, `seconds`, or a metric."""
        return self.seconds if name == "seconds" else [point[name] for point in self.points]

    def _add(self, turns: int, metrics: Mapping[str, float]) -> None:
        self.points.append({"turns": turns, **metrics})
        self.seconds.append(self._elapsed)

    def _on_training_start(self) -> None:
        self._latest = self.model.num_timesteps

    def _on_rollout_end(self) -> None:
        measured = len(self.points)
        self(self.model.num_timesteps, self.model)
        for point in self.points[measured:]:
            for name in METRICS:
                if math.isfinite(point[name]):
                    self.logger.record(f"game/{name}", point[name])


class CallbackAdapter(RolloutCallback):
    """Calls a `ProgressCallback` with the learner between its updates."""

    def __init__(self, watch: ProgressCallback) -> None:
        super().__init__()
        self._watch = watch

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps:
            self._watch(self.model.num_timesteps, self.model)


class Checkpoint(RolloutCallback):
    """Saves a checkpoint before every `every`-th rollout but the first, with the points of `curve`."""

    def __init__(
        self,
        path: Path,
        every: int,
        curve: LearningCurve | None = None,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the training, which alone the checkpoints are for, by its JSON-serializable `origin`."""
        super().__init__()
        self.path, self.every, self.curve, self.origin = path, every, curve, origin or {}
        self._rollouts = 0

    def _on_rollout_start(self) -> None:
        if self._rollouts and self._rollouts % self.every == 0:
            assert isinstance(self.model, OnPolicyAlgorithm)
            save_checkpoint(self.model, self.path, self.curve.points if self.curve else [], self.origin)
        self._rollouts += 1


class ProgressBar(RolloutCallback):
    """A progress bar of turns, with the latest NashConv of a learning curve."""

    def __init__(self, turns: int, curve: LearningCurve) -> None:
        super().__init__()
        self.turns, self.curve = turns, curve

    def _on_training_start(self) -> None:
        self.bar = tqdm(
            total=self.turns, initial=self.model.num_timesteps, unit="turn", unit_scale=True, mininterval=0.5
        )

    def _on_rollout_end(self) -> None:
        if self.curve.points:
            self.bar.set_postfix(NashConv=f"{self.curve.points[-1]['nash_conv']:.3g}", refresh=False)
        self.bar.update(self.model.num_timesteps - self.bar.n)

    def _on_training_end(self) -> None:
        self.bar.close()
