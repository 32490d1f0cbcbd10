"""On-policy training, from its beginning or from a checkpoint to its end."""

from collections.abc import Sequence
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.learning import self_play
from agents.learning.callbacks import Checkpoint, LearningCurve, ProgressBar
from agents.learning.checkpoints import load_checkpoint
from agents.learning.games import decisions_alike
from agents.learning.self_play import Problem
from agents.learning.settings import OnPolicySettings
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.scalar import ScalarGame

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
        game: ScalarGame,
        settings: OnPolicySettings,
        seed: int = 0,
        problem: Problem = "self-play",
        folder: Path | None = None,
        resume: bool = False,
    ) -> None:
        """Build the model by `self_play.new_learner`, or resume from the folder's checkpoint, if it has one.

        TensorBoard's logs and checkpoints are kept in the folder.

        Raises:
            ValueError: If the settings do not fit the game, or the checkpoint cannot be read.
        """
        self.problem, rollout = problem, settings.games * game.episodes
        logs = None if folder is None else folder / "tensorboard"
        points: list[dict[str, float]] = []
        self.turns = settings.whole_turns(game)
        if problem == "self-play":
            game = with_fixed_length(game)
        self.callbacks = self_play.training_callbacks(game, settings, problem)
        if resume and folder is not None and (folder / CHECKPOINT).exists():
            self.model, points = load_checkpoint(folder / CHECKPOINT)
        else:
            self.model = self_play.new_learner(game, settings, seed, logs, problem)
        every = min(ROLLOUTS, max(1, round(TURNS / rollout)))
        measured = every if decisions_alike(game) else max(1, round(TURNS_SIMULATED / rollout))
        self.curve = LearningCurve(game, measured * rollout, points=points)
        if folder is not None:
            checkpoint = Checkpoint(folder / CHECKPOINT, every, self.curve)
            self.callbacks += [self.curve, checkpoint, ProgressBar(self.turns, self.curve)]

    def run(self, callbacks: Sequence[BaseCallback] = ()) -> OnPolicyAlgorithm:
        """Train to the end, with further callbacks if they are given; returns the model."""
        played = self.model.num_timesteps
        return self.model.learn(
            self.turns - played,
            callback=[*self.callbacks, *callbacks],
            reset_num_timesteps=played == 0,
            tb_log_name=self.problem,
        )
