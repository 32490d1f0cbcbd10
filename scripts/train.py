"""Train a learner with Stable-Baselines3's PPO, and evaluate it against the oracle.

Problems: "self-play" learns the game between successive selves; "initial" and "current" train one controller
of all episodes through the Gymnasium environment, paid by its first or its present goal (other problems, for
comparison).

The run folder holds the configuration, versions, TensorBoard logs, the learning curve, checkpoints, the model
(model.zip, an agent for scripts/evaluate.py) and its evaluation. An interrupted run goes on with --resume.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

import agents
import mesa_env
from agents.benchmark import tables
from agents.benchmark.run_folder import RunFolder
from agents.learning import checkpoints, controller, self_play
from agents.learning.callbacks import LearningCurve
from agents.learning.settings import PPOSettings, SelfPlayModel
from mesa_env import Game
from mesa_env.agent import Agent
from scripts import figures
from scripts.arguments import GameArguments, check_arguments, refusing_bad_input, run_command, validated_seed

EVERY = 10  # rollouts between two measurements, and between two checkpoints, or fewer of
OFTEN = 64_000  # turns; where a game must be simulated to measure a learner, that is done more seldom
SELDOM = 256_000


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/train.py."""

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
    """PyTorch's threads; the networks are small, and one is fastest."""
    out: Path = Path("runs/train")
    """Run folder."""
    resume: bool = False
    """Go on from the folder's last checkpoint, with the arguments that the run began with."""


class Progress(BaseCallback):
    """A progress bar of turns, with the latest NashConv."""

    def __init__(self, turns: int) -> None:
        """Show progress towards `turns`."""
        super().__init__()
        self.turns = turns

    def _on_training_start(self) -> None:
        self.bar = tqdm(
            total=self.turns, initial=self.model.num_timesteps, unit="turn", unit_scale=True, mininterval=0.5
        )

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        assert isinstance(self.model, SelfPlayModel)
        if self.model.learning_curve:
            latest = self.model.learning_curve[-1]["nash_conv"]
            self.bar.set_postfix(NashConv=f"{latest:.3g}", refresh=False)
        self.bar.update(self.model.num_timesteps - self.bar.n)

    def _on_training_end(self) -> None:
        self.bar.close()


def train(arguments: Arguments) -> SelfPlayModel:
    """Train, or go on training, as the arguments say; returns the finished model, which is also saved."""
    with refusing_bad_input():
        folder = RunFolder(arguments.out)
        checkpoint = arguments.out / "checkpoint.zip"
        _check_folder(arguments)
        validated_seed(arguments.seed)
        if arguments.threads < 1:
            raise ValueError(f"threads must be a whole number ≥ 1; got {arguments.threads}")
        game = arguments.game.build(arguments.initial_goal)
        arguments.game.build((arguments.evaluation_goal,))  # a bad goal is refused now, not after training
        turns = arguments.settings.whole_turns(game)
        torch.set_num_threads(arguments.threads)
        if arguments.resume and checkpoint.exists():
            model = checkpoints.load_checkpoint(checkpoint)
        else:
            model = _new_model(arguments, game)
            folder.record("train", arguments, game)
    rollout = arguments.settings.games * game.episodes
    every = min(EVERY, max(1, round(OFTEN / rollout)))
    callbacks: list[BaseCallback] = [
        *_problem_callbacks(arguments, game),
        LearningCurve(
            game, every if arguments.settings.group_size_in(game) == 1 else max(1, round(SELDOM / rollout))
        ),
        checkpoints.Checkpoint(checkpoint, every),
        Progress(turns),
    ]
    model.learn(
        turns - model.num_timesteps,
        callback=callbacks,
        reset_num_timesteps=model.num_timesteps == 0,
        tb_log_name=arguments.problem,
    )
    folder.table(
        "learning_curve.csv", pd.DataFrame(model.learning_curve, columns=["turns", *mesa_env.METRICS])
    )
    checkpoints.save(model, arguments.out / "model.zip")
    checkpoint.unlink(missing_ok=True)
    return model


def main(arguments: Arguments) -> None:
    """Train, then print and write down how the learner compares with the oracle."""
    model = train(arguments)
    game = arguments.game.build((arguments.evaluation_goal,))
    contestants: dict[str, Agent] = {"equilibrium": agents.make("equilibrium", game), "learned": model}
    games = mesa_env.compare(game, contestants, [arguments.evaluation_goal])
    folder = RunFolder(arguments.out)
    folder.table("evaluation.csv", games)
    played = {
        name: mesa_env.rollout(game, agent, arguments.evaluation_goal) for name, agent in contestants.items()
    }
    folder.figure("figure.png", figures.side_by_side(game, played))
    title = f"learned by {arguments.problem}, from θ_0 = {arguments.evaluation_goal:g}"
    tables.show_summary(mesa_env.summarize(games), title)
    print(f"run folder: {arguments.out}")


def _new_model(arguments: Arguments, game: Game) -> SelfPlayModel:
    logs = arguments.out / "tensorboard"
    if arguments.problem == "self-play":
        return self_play.new_learner(game, arguments.settings, arguments.seed, logs)
    return controller.new_controller(game, arguments.problem, arguments.settings, arguments.seed, logs)


def _problem_callbacks(arguments: Arguments, game: Game) -> list[BaseCallback]:
    if arguments.problem == "self-play":
        return self_play.callbacks(game, arguments.settings)
    return controller.callbacks(arguments.settings)


def _check_folder(arguments: Arguments) -> None:
    """Refuse to write over another run, or to resume one under other arguments."""
    folder, recorded = arguments.out, arguments.out / "config.json"
    if not arguments.resume:
        if recorded.exists():
            raise ValueError(
                f"{folder} already holds a run: add --resume to go on with it, or name another --out"
            )
        return
    if not recorded.exists():
        raise ValueError(f"--resume needs a run to go on with; {folder} holds none")
    if (folder / "model.zip").exists():
        raise ValueError(f"the run in {folder} is finished; there is nothing to resume")
    check_arguments(arguments)


if __name__ == "__main__":
    run_command(main, Arguments)
