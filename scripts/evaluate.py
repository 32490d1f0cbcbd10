"""Compare agents, by name or model file, on one game from many initial goals.

An entry of --agents is a name (see below), the model.zip of a run (it holds pickles, which run code that they
name when it is loaded: name only files that you trust), the policy.pt of scripts/train_neural.py (which runs
no code), or LABEL=FILE,FILE,… for one learner trained from several seeds, whose interval is then over seeds.
Names: equilibrium, myopic, compliant, guard, random; for the base game also grid, precommitment, best_of_K.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import mesa_env
from agents.limits import LARGEST_SEED, validate_batch
from mesa_env.agent import Agent
from mesa_env.rules import Game, Rules
from mesa_env.validation import validate_whole
from scripts.arguments import load_player, refusing_bad_input, run_command
from scripts.game_arguments import GameArguments


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.evaluate."""

    agents: tuple[str, ...] | None = None
    """At most 100 names, model files, or LABEL=FILE,FILE,…; by default all names of the game's agents."""
    game: GameArguments = field(default_factory=GameArguments)
    initial_goal: tuple[float, ...] | None = None
    """θ_0 of the games, as in scripts.train."""
    games: int = 100
    """Games per agent, if θ_0 is drawn; games × episodes are at most 10 000 000."""
    figure_goal: tuple[float, ...] | None = None
    """θ_0 of the figure's games, by default 0.8; in GoalTraining, the game's own."""
    seed: int = 0
    """Seed of the initial goals and of agents that draw."""
    out: Path = Path("runs/evaluate")
    """Run folder; an evaluation in it is replaced."""


def main(arguments: Arguments) -> None:
    """Play, measure, print the table, and write the run folder."""
    import pandas as pd

    from agents.benchmark import tables
    from agents.benchmark.run_folder import RunFolder
    from scripts import figures

    with refusing_bad_input():
        validate_whole("seed", arguments.seed, 0, LARGEST_SEED)
        validate_whole("games", arguments.games, 1)
        game = arguments.game.build(arguments.initial_goal)
        validate_batch(arguments.games, game)
        shown = arguments.game.build_at(arguments.figure_goal)
        contestants = _load_contestants(arguments, game)
        files = "games.csv", "summary.csv", "summary.json", "figure.png"
        folder = RunFolder(arguments.out, "evaluate", writes=files)
    with folder:
        count = arguments.games if game.n_uniforms else 1
        goals = game.start(np.random.default_rng(arguments.seed).random((count, game.n_uniforms))).goal
        games = pd.DataFrame(mesa_env.compare(game, contestants, goals, arguments.seed))
        summary = mesa_env.summarize(games)
        folder.record(arguments, game)
        folder.table("games.csv", games)
        flat = summary.set_axis(["_".join(column) for column in summary.columns], axis="columns")
        folder.table("summary.csv", flat.rename_axis("agent").reset_index())
        by_agent = {name: row.unstack().to_dict("index") for name, row in summary.iterrows()}
        folder.json("summary.json", by_agent)
        first = {name: models[0] for name, models in contestants.items()}
        played = {name: mesa_env.rollout(shown, agent, shown.initial_goal) for name, agent in first.items()}
        folder.figure("figure.png", figures.side_by_side(shown, played))
        means = "one game" if len(goals) == 1 else f"mean over {len(goals)} games"
        tables.show_summary(summary, f"{means} per model, ± half a 95 % interval if there are several")
        print(f"run folder: {arguments.out}")


def _load_contestants(arguments: Arguments, game: Rules) -> dict[str, Sequence[Agent]]:
    import agents

    names = agents.NAMES if type(game) is Game else agents.VARIANT_NAMES
    entries = names if arguments.agents is None else arguments.agents
    if not entries:
        raise ValueError(f"--agents must name at least one of {', '.join(agents.NAMES)}, or a model file")
    if len(entries) > 100:
        raise ValueError(f"--agents must name at most 100 agents; got {len(entries)}")
    contestants: dict[str, Sequence[Agent]] = {}
    for entry in entries:
        label, models = entry.split("=", 1) if "=" in entry else (entry, entry)
        if label in contestants or not label.isprintable():
            raise ValueError(f"labels must be printable and differ; {label!r} is not, or comes twice")
        contestants[label] = [load_player(name, game, arguments.seed) for name in models.split(",")]
    return contestants


if __name__ == "__main__":
    run_command(main, Arguments)
