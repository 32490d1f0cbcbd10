"""On-policy training, from its beginning or from a checkpoint to its end."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.atomic_files import name_in_errors
from agents.learning import self_play
from agents.learning.callbacks import Checkpoint, LearningCurve, ProgressBar
from agents.learning.checkpoints import Resumed, load_checkpoint
from agents.learning.event_logs import FOLDER, open_log
from agents.learning.games import decisions_alike
from agents.learning.self_play import Problem
from agents.learning.settings import OnPolicySettings
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.parameters import describe_game
from mesa_env.rules.rules import Rules
from mesa_env.validation import validate_flag

CHECKPOINT = "checkpoint.zip"
"""Name of the file in a training's folder from which it can be resumed."""

ROLLOUTS = 10
"""Most rollouts between two measurements of the learning curve, and between two checkpoints."""
TURNS = 64_000
"""Turns between them, if so many rollouts take more."""
TURNS_SIMULATED = 256_000
"""Turns between two measurements where the game must be simulated to measure a learner."""


class Training:
    """A training that is ready to run: its `model`, and the `curve` that is recorded if it has a folder."""

    def __init__(
        self,
        game: Rules,
        settings: OnPolicySettings,
        seed: int = 0,
        problem: Problem = "self-play",
        folder: Path | None = None,
        resume: bool = False,
    ) -> None:
        """Build the model by `self_play.new_learner`, or resume from the folder's checkpoint, if it has one.

        TensorBoard's logs and checkpoints are kept in the folder.

        Raises:
            ValueError: If the settings do not fit the game, or the checkpoint cannot be read or is of a
                training with another game, settings, seed or problem.
        """
        validate_flag("resume", resume)
        self.problem, self.folder, rollout = problem, folder, settings.games * game.episodes
        self._resumed: Resumed | None = None
        points: list[dict[str, float]] = []
        origin = _describe(game, settings, seed, problem)
        self.turns = settings.whole_turns(game)
        if problem == "self-play":
            game = with_fixed_length(game)
        self.callbacks = self_play.training_callbacks(game, settings, problem)
        if resume and folder is not None and (folder / CHECKPOINT).exists():
            self._resumed = load_checkpoint(folder / CHECKPOINT, origin)
            self.model, points = self._resumed.model, self._resumed.points
        else:
            self.model = self_play.new_learner(game, settings, seed, problem)
        every = min(ROLLOUTS, max(1, round(TURNS / rollout)))
        measured = every if decisions_alike(game) else max(1, round(TURNS_SIMULATED / rollout))
        self.curve = LearningCurve(game, measured * rollout, points=points)
        if folder is not None:
            checkpoint = Checkpoint(folder / CHECKPOINT, every, self.curve, origin)
            self.callbacks += [self.curve, checkpoint, ProgressBar(self.turns, self.curve)]

    def run(self, callbacks: Sequence[BaseCallback] = ()) -> OnPolicyAlgorithm:
        """Train to the end, with further callbacks if they are given; returns the model."""
        played = self.model.num_timesteps
        if self.folder is not None:
            self.model.set_logger(open_log(self.folder, f"{self.problem}_1", played))
        if self._resumed is not None:
            for name, (value, excluded) in self._resumed.logged.items():
                self.model.logger.record(name, value, excluded)
        with name_in_errors((self.folder or Path()) / FOLDER):
            return self.model.learn(
                self.turns - played,
                callback=[*self.callbacks, *callbacks],
                reset_num_timesteps=played == 0,
            )


def _describe(game: Rules, settings: OnPolicySettings, seed: int, problem: Problem) -> dict[str, Any]:
    """What tells trainings apart, as JSON holds it."""
    kind = {"algorithm": type(settings).__name__.removesuffix("Settings"), **asdict(settings)}
    origin = {"game": describe_game(game), "settings": kind, "seed": seed, "problem": problem}
    described: dict[str, Any] = json.loads(json.dumps(origin))
    return described
