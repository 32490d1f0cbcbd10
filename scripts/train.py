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
from mesa_env.rules.validation import validated_whole
from scripts.arguments import GameArguments, refusing_bad_input, run_command

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.train."""

    game: GameArguments = field(default_factory=GameArguments)
    problem: Literal["self-play", "initial", "current"] = "self-play"
    """What to learn: the game's equilibrium, or one controller paid by its initial or current goal."""
    initial_goal: tuple[float, ...] = (-1.0, 1.0)
    """θ_0 in training: one number, or low and high of the range to draw it from."""
    evaluation_goal: float = 0.8
    """θ_0 of the evaluation after training."""
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


def train_learner(arguments: Arguments) -> OnPolicyAlgorithm:
    """Train, or resume training, as the arguments say; returns the finished model, which is also saved."""
    import pandas as pd
    import torch

    from agents.benchmark.run_folder import RunFolder
    from agents.learning import checkpoints, training
    from mesa_env import METRICS

    with refusing_bad_input():
        folder = RunFolder(arguments.out)
        _check_folder(arguments)
        validated_whole("seed", arguments.seed, 0, LARGEST_SEED)
        validated_whole("threads", arguments.threads, 1, MOST_WORKERS)
        game = arguments.game.build(arguments.initial_goal)
        arguments.game.build((arguments.evaluation_goal,))  # a bad goal is refused now, not after training
        torch.set_num_threads(arguments.threads)
        checkpoint = arguments.out / training.CHECKPOINT
        new = not (arguments.resume and checkpoint.exists())
        prepared = training.Training(
            game, arguments.settings, arguments.seed, arguments.problem, arguments.out, arguments.resume
        )
        if new:
            folder.record("train", arguments, game)
    model = prepared.run()
    folder.table("learning_curve.csv", pd.DataFrame(prepared.curve.points, columns=["turns", *METRICS]))
    checkpoints.save(model, arguments.out / "model.zip")
    checkpoint.unlink(missing_ok=True)
    return model


def main(arguments: Arguments) -> None:
    """Train, then print and write down how the learner compares with the oracle."""
    from agents.benchmark.run_folder import RunFolder
    from scripts.comparison import compare_with_oracle

    model, game = train_learner(arguments), arguments.game.build((arguments.evaluation_goal,))
    compare_with_oracle(RunFolder(arguments.out), game, "learned", model, f"learned by {arguments.problem}")


def _check_folder(arguments: Arguments) -> None:
    """Refuse to write over another run, or to resume one under other arguments."""
    from agents.benchmark.run_folder import check_arguments

    folder, recorded = arguments.out, arguments.out / "config.json"
    if recorded.exists() and not arguments.resume:
        raise ValueError(f"{folder} already holds a run: add --resume to resume it, or name another --out")
    if not arguments.resume:
        return
    if not recorded.exists():
        raise ValueError(f"--resume needs a run to resume; {folder} holds none")
    if (folder / "model.zip").exists():
        raise ValueError(f"the run in {folder} is finished; there is nothing to resume")
    check_arguments(arguments)


if __name__ == "__main__":
    run_command(main, Arguments)
