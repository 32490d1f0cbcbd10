"""Measure speed as ratios, what is compared side by side in one run.

Every figure is the median of several repeats, ours and the reference taken in turns. The references are the
post's method written plainly, the environments of Gymnasium and PettingZoo themselves, and planning plan by
plan.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mesa_env.validation import validate_whole
from scripts.arguments import refusing_bad_input, run_command

_MOST = {"repeats": 1000, "games": 1_000_000, "environments": 100_000}


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.speed."""

    repeats: int = 5
    """Repeats of every measurement, at most 1000; the median counts."""
    games: int = 100_000
    """Random games for the batched oracle; at most 1 000 000."""
    environments: int = 4096
    """Environments in a batch; at most 100 000."""
    out: Path = Path("runs/speed")
    """Run folder; earlier measurements in it are replaced."""


def main(arguments: Arguments) -> None:
    """Measure everything, print the table, and write the run folder."""
    import pandas as pd
    import torch

    from agents.benchmark import speed, tables, world_speed
    from agents.benchmark.run_folder import RunFolder, environment
    from mesa_env import Game

    repeats, environments = arguments.repeats, arguments.environments
    with refusing_bad_input():
        for name, most in _MOST.items():
            validate_whole(name, getattr(arguments, name), 1, most)
        folder = RunFolder(arguments.out, "speed", writes=("speed.csv",))
    with folder:
        torch.set_num_threads(1)
        machine = environment()
        print(f"{machine['processor']}, {os.cpu_count()} cores, Python {machine['python']}")
        print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
        table = pd.DataFrame(
            [
                *speed.measure_oracle(repeats, arguments.games),
                speed.measure_batch(repeats, environments, Game(), "≥ 4"),
                speed.measure_batch(repeats, environments, Game(initial_goal=(-1.0, 1.0)), "–"),
                *speed.measure_turns(repeats),
                speed.measure_learning(repeats),
                *world_speed.measure_worlds(repeats),
            ]
        )
        folder.record(arguments)
        folder.table("speed.csv", table)
        tables.show(table, f"speed: medians of {repeats} repeats")
        print(f"run folder: {arguments.out}")


if __name__ == "__main__":
    run_command(main, Arguments)
