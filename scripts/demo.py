"""The main job: train a learner by self-play on the post's first experiment and compare it with all agents.

After Ctrl-C, a second call resumes from the last checkpoint; a demo that has been trained is only evaluated
again. Both load OUT/model.zip or OUT/checkpoint.zip, which hold pickles and run code that they name: name
only a folder whose content this command has written.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import mesa_env
from agents.limits import LARGEST_SEED
from mesa_env.agent import Agent
from mesa_env.validation import validate_whole
from scripts import train
from scripts.arguments import refusing_bad_input, run_command

GOAL = 0.8


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.demo."""

    out: Path = Path("runs/demo")
    """Run folder."""
    seed: int = 0
    """Seed of the training."""
    turns: int = 1_500_000
    """Turns of self-play."""


def main(arguments: Arguments) -> None:
    """Train, evaluate, print the table, and write the run folder."""
    import pandas as pd

    import agents
    from agents.benchmark import tables
    from agents.benchmark.run_folder import RunFolder
    from scripts import figures

    game = mesa_env.Game(initial_goal=GOAL)
    with refusing_bad_input():
        training = _training(arguments)
        folder = RunFolder(arguments.out, "train", writes=(*train.files_of("self-play"), "comparison.csv"))
    with folder:
        print("The post's first experiment: 20 episodes of training, 80 of deployment, θ_0 = 0.8.")
        if (arguments.out / "model.zip").exists():
            print(f"Found a trained learner in {arguments.out}; remove the folder to train again.")
        else:
            print("Training by self-play with PPO: one shared policy plays every episode's agent.")
        learner = train.train_learner(folder, dataclasses.replace(training, resume=folder.begun))
        contestants: dict[str, Agent] = {"equilibrium": agents.make("equilibrium", game), "learned": learner}
        contestants |= {name: agents.make(name, game) for name in agents.NAMES if name not in contestants}
        games = pd.DataFrame(mesa_env.compare(game, contestants, [GOAL]))
        folder.table("comparison.csv", games)
        titles = {"equilibrium": "the exact oracle", "learned": "learned by self-play"}
        played = {title: mesa_env.rollout(game, contestants[name], GOAL) for name, title in titles.items()}
        folder.figure("figure.png", figures.side_by_side(game, played))
        tables.show_summary(
            mesa_env.summarize(games), "The exact oracle, the self-taught learner, and the rest"
        )
        paid = mesa_env.play(mesa_env.env(game=game), learner)["episode_0"]
        cost = float(games.set_index("agent")["mesa_cost"]["learned"])
        print(
            f"Played in the PettingZoo environment, it pays its first agent {paid:.4f}; −J_0 is {-cost:.4f}."
        )
        print(f"run folder: {arguments.out} (table: comparison.csv; figure: figure.png)")


def _training(arguments: Arguments) -> train.Arguments:
    from agents.learning.settings import PPOSettings

    settings = PPOSettings(turns=arguments.turns)
    settings.whole_turns(mesa_env.Game())
    validate_whole("seed", arguments.seed, 0, LARGEST_SEED)
    return train.Arguments(settings=settings, seed=arguments.seed, out=arguments.out)


if __name__ == "__main__":
    run_command(main, Arguments)
