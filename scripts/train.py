"""Train a learner with Stable-Baselines3's PPO, and evaluate it against the oracle.

Problems: "self-play" learns the game between successive selves; "initial" and "current" train one controller
of all episodes through the Gymnasium environment, paid by its first or its present goal (other problems, for
comparison).

The run folder holds the configuration, versions, TensorBoard logs, the learning curve, a checkpoint, the
model (model.zip, an agent for scripts/evaluate.py) and its evaluation. An interrupted run resumes with
--resume, which loads OUT/checkpoint.zip: it holds pickles, which run code that they name, so resume only runs
that you trust.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agents.learning.settings import PPOSettings
from agents.limits import LARGEST_SEED, MOST_WORKERS
from mesa_env.validation import validate_whole
from scripts.arguments import refusing_bad_input, run_command
from scripts.game_arguments import GameArguments

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from agents.benchmark.run_folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.train."""

    game: GameArguments = field(default_factory=GameArguments)
    problem: Literal["self-play", "initial", "current"] = "self-play"
    """What to learn: the game's equilibrium, or one controller paid by its initial or current goal."""
    initial_goal: tuple[float, ...] | None = None
    """θ_0 in training: one goal, or low and high of the range to draw it from; a goal has one number, in
    GoalTraining one per feature. By default −1 1; in GoalTraining, the game's own."""
    evaluation_goal: tuple[float, ...] | None = None
    """θ_0 of the evaluation after training: by default 0.8; in GoalTraining, the game's own."""
    settings: PPOSettings = field(default_factory=PPOSettings)
    seed: int = 0
    """Seed of the networks, the noise and the games."""
    threads: int = 1
    """PyTorch's threads, which change the numbers: sums are added up in another order. One is fastest."""
    out: Path = Path("runs/train")
    """Run folder."""
    resume: bool = False
    """Resume from the folder's last checkpoint, with the arguments that the run was started with; the
    checkpoint is loaded, which runs code that it names."""


def files_of(problem: str) -> tuple[str, ...]:
    """What a training writes, its evaluation included, for `RunFolder`."""
    from scripts.comparison import FILES

    logs = "tensorboard/", f"tensorboard/{problem}_1/"
    return ("model.zip", "checkpoint.zip", "learning_curve.csv", *FILES, *logs)


def train_learner(folder: RunFolder, arguments: Arguments) -> BaseAlgorithm:
    """Train, or resume training, as the arguments say; returns the finished model, which is also saved."""
    import pandas as pd
    import torch

    from agents.benchmark.run_folder import check_arguments
    from agents.learning import checkpoints, training
    from mesa_env import METRICS

    model_file = arguments.out / "model.zip"
    with refusing_bad_input():
        if arguments.resume:
            check_arguments(arguments)
        if model_file.exists():
            folder.remove(training.CHECKPOINT)
            return checkpoints.load(model_file)
        torch.set_num_threads(arguments.threads)
        game = arguments.game.build(arguments.initial_goal)
        prepared = training.Training(
            game, arguments.settings, arguments.seed, arguments.problem, arguments.out, arguments.resume
        )
        folder.record(arguments, game, keep=True)
    model = prepared.run()
    folder.table("learning_curve.csv", pd.DataFrame(prepared.curve.points, columns=["turns", *METRICS]))
    checkpoints.save(model, model_file)
    folder.remove(training.CHECKPOINT)
    return model


def main(arguments: Arguments) -> None:
    """Train, then print and write down how the learner compares with the oracle."""
    from agents.benchmark.run_folder import RunFolder
    from scripts.comparison import compare_with_oracle, is_finished

    with refusing_bad_input():
        validate_whole("seed", arguments.seed, 0, LARGEST_SEED)
        validate_whole("threads", arguments.threads, 1, MOST_WORKERS)
        arguments.game.build(arguments.initial_goal)
        game = arguments.game.build_at(arguments.evaluation_goal)
        folder = RunFolder(arguments.out, "train", arguments.resume, files_of(arguments.problem))
    with folder:
        with refusing_bad_input():
            if arguments.resume and is_finished(arguments.out):
                raise ValueError(f"the run in {arguments.out} is finished; there is nothing to resume")
        model = train_learner(folder, arguments)
        compare_with_oracle(folder, game, "learned", model, f"learned by {arguments.problem}")


if __name__ == "__main__":
    run_command(main, Arguments)
