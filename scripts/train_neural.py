"""Train a neural policy through the unrolled game, every agent by its own gradient (agents.learning.neural).

The game has local policies: the base optimizer sees the network's own slope, which nothing ties to what the
network emits. The run folder holds the configuration, versions, the curve of training costs, the policy
(policy.pt, an agent for scripts/evaluate.py with --game.rules Decoupling) and its evaluation. A run takes
less than a minute; one that was interrupted starts over, or is only evaluated if it had been trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents.learning.settings import NeuralSettings
from agents.limits import LARGEST_SEED, validate_batch
from mesa_env import Decoupling
from mesa_env.validation import validate_whole
from scripts.arguments import refusing_bad_input, run_command
from scripts.game_arguments import GameArguments

if TYPE_CHECKING:
    from agents.benchmark.run_folder import RunFolder
    from agents.learning.neural import NeuralPolicy


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.train_neural."""

    game: GameArguments = field(default_factory=lambda: GameArguments(rules="Decoupling", decoupling=10.0))
    initial_goal: tuple[float, ...] | None = None
    """θ_0 in training: one number, or low and high of the range to draw it from; by default −1 1."""
    evaluation_goal: tuple[float, ...] | None = None
    """θ_0 of the evaluation after training; by default 0.8."""
    settings: NeuralSettings = field(default_factory=NeuralSettings)
    seed: int = 0
    """Seed of the network and the games."""
    out: Path = Path("runs/neural")
    """Run folder; an earlier run in it is replaced."""


def main(arguments: Arguments) -> None:
    """Train, evaluate beside the linear equilibrium, and write everything down."""
    import torch

    from agents.benchmark.run_folder import RunFolder
    from agents.learning import neural
    from scripts.comparison import FILES, compare_with_oracle, is_finished

    with refusing_bad_input():
        if arguments.game.rules != "Decoupling":
            raise ValueError(f"a neural policy plays Decoupling; got {arguments.game.rules}")
        game = arguments.game.build(arguments.initial_goal)
        assert isinstance(game, Decoupling)
        validate_whole("seed", arguments.seed, 0, LARGEST_SEED)
        validate_batch(arguments.settings.games, game)
        judged = arguments.game.build_at(arguments.evaluation_goal)
        folder = RunFolder(arguments.out, "train_neural", writes=("training.csv", "policy.pt", *FILES))
    torch.set_num_threads(1)
    file = arguments.out / "policy.pt"
    with folder:
        if file.exists() and not is_finished(arguments.out) and _has_same_arguments(arguments):
            with refusing_bad_input():
                policy = neural.load(file)
        else:
            policy = _train(folder, arguments, game)
        # An audit holds what was played; a network's successors would send others.
        compare_with_oracle(folder, judged, "network", policy, "neural policy", audited=False)


def _train(folder: RunFolder, arguments: Arguments, game: Decoupling) -> NeuralPolicy:
    """Train, and put what comes before the evaluation in the place of an earlier run."""
    import pandas as pd
    from tqdm import tqdm

    from agents.learning import neural

    if not folder.begun:
        folder.record(arguments, game)
    costs: list[float] = []
    with tqdm(total=arguments.settings.iterations, unit="step", mininterval=0.5) as bar:

        def progress(step: int, cost: float) -> None:
            costs.append(cost)
            bar.set_postfix(cost=f"{cost:.3g}", refresh=False)
            bar.update(step - bar.n)

        policy = neural.train_policy(game, arguments.settings, arguments.seed, progress)
    for name in ("figure.png", "evaluation.csv", "policy.pt"):  # so that runs are never mixed
        folder.remove(name)
    folder.record(arguments, game)
    folder.table("training.csv", pd.DataFrame({"mean relative cost": costs}))
    neural.save(policy, folder.path / "policy.pt")
    return policy


def _has_same_arguments(arguments: Arguments) -> bool:
    from agents.benchmark.run_folder import check_arguments

    try:
        check_arguments(arguments)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    run_command(main, Arguments)
