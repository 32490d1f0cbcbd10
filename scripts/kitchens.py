"""Train reinforcement learners in kitchens, deploy them, and ask which goals they have learned.

Each learner is trained by the base return of the training world, and then acts there and in the deployed
world, beside exact planners for the base return and for the proxy. A goal is fitted to how each behaves.
"""

from dataclasses import dataclass
from pathlib import Path

from agents.limits import LARGEST_SEED, MOST_RUNS, MOST_TURNS
from mesa_env.validation import validate_whole
from scripts.arguments import refusing_bad_input, run_command

_FILES = ("kitchens.csv", "kitchens.md", "kitchens.png")


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.kitchens."""

    worlds: tuple[str, ...] = ("TableWiping", "CrumbVacuuming", "TableSetting", "CookieElimination")
    """Kitchens by name."""
    learners: tuple[str, ...] = ("dqn", "ppo", "reward")
    """Learners by name: DQN, PPO, and a planner that learns which features pay."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the learners."""
    steps: int | None = None
    """Steps of training; by default as many as each learner needs."""
    out: Path = Path("runs/kitchens")
    """Run folder; earlier tables in it are replaced."""


def main(arguments: Arguments) -> None:
    """Train and measure all learners, print the summary, and write the run folder."""
    import pandas as pd
    import torch

    from agents.benchmark import tables
    from agents.benchmark.run_folder import RunFolder
    from scripts.experiments import kitchens

    with refusing_bad_input():
        check_arguments(arguments)
        folder = RunFolder(arguments.out, "kitchens", writes=_FILES)
    with folder:
        folder.record(arguments)
        torch.set_num_threads(1)
        rows = []
        for name in arguments.worlds:
            for row in kitchens.compare_learners(name, arguments.learners, arguments.seeds, arguments.steps):
                rows.append(row)
                print(
                    f"{name}, {row['agent']}: {row['training']:g} in training, {row['deployed']:g} deployed"
                )
        table = pd.DataFrame(rows)
        summary = kitchens.summarize(table)
        folder.table(_FILES[0], table)
        folder.text(_FILES[1], tables.markdown_table(summary) + "\n")
        folder.figure(_FILES[2], kitchens.draw_returns(table))
    tables.show(summary, f"base returns and goals: means of seeds {', '.join(map(str, arguments.seeds))}")
    print(f"run folder: {arguments.out}")


def check_arguments(arguments: Arguments) -> None:
    """Raise a ValueError for worlds, learners, seeds or steps that there are not."""
    from agents.learning.worlds import LEARNERS
    from mesa_env.worlds import WORLDS
    from scripts.experiments.parameter_maps import check_names

    check_names("worlds", arguments.worlds, WORLDS)
    check_names("learners", arguments.learners, LEARNERS)
    validate_whole("the number of seeds", len(arguments.seeds), 1, MOST_RUNS)
    for seed in arguments.seeds:
        validate_whole("a seed", seed, 0, LARGEST_SEED)
    if len(set(arguments.seeds)) < len(arguments.seeds):
        raise ValueError(f"seeds must each be named once; got {' '.join(map(str, arguments.seeds))}")
    if arguments.steps is not None:
        validate_whole("steps", arguments.steps, 1, MOST_TURNS)


if __name__ == "__main__":
    run_command(main, Arguments)
