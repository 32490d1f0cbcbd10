"""Measure speed as ratios, what is compared side by side in one run.

Every figure is the median of several repeats, ours and the reference taken in turns. The references are the
post's method written plainly, and the environments of Gymnasium and PettingZoo themselves.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pettingzoo
import torch
from pettingzoo import AECEnv

import mesa_env
from agents.benchmark import tables
from agents.benchmark.run_folder import RunFolder, environment
from agents.learning import self_play
from agents.learning.callbacks import LearningCurve
from agents.learning.settings import PPOSettings
from mesa_env import Game, solve_equilibria, solve_equilibrium, train_then_deploy
from mesa_env.solutions.grid import simulated_grid_search
from scripts.arguments import refusing_bad_input, run


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/speed.py."""

    repeats: int = 5
    """Repeats of every measurement; the median counts."""
    games: int = 100_000
    """Random games for the batched oracle."""
    environments: int = 4096
    """Environments in a batch."""
    out: Path = Path("runs/benchmark")
    """Run folder; an earlier benchmark in it is replaced."""


@dataclass(frozen=True)
class Measurement:
    """One row of the table.

    Attributes:
        what: What was measured.
        ours: Our figure, with its unit.
        reference: What it is compared with.
        ratio: The ratio of the two that should be large, or small where `aim` says so.
        aim: What the ratio should be.
    """

    what: str
    ours: str
    reference: str
    ratio: float
    aim: str


def main(arguments: Arguments) -> None:
    """Measure everything, print the table, and write it down."""
    with refusing_bad_input():
        if min(arguments.repeats, arguments.games, arguments.environments) < 1:
            raise ValueError("repeats, games and environments must be whole numbers ≥ 1")
        folder = RunFolder(arguments.out)
    torch.set_num_threads(1)
    machine = environment()
    print(f"{machine['processor']}, {os.cpu_count()} cores, Python {machine['python']}")
    print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    measurements = [
        *oracle(arguments.repeats, arguments.games),
        batch(arguments.repeats, arguments.environments, Game(), "≥ 4"),
        batch(arguments.repeats, arguments.environments, Game(initial_goal=(-1.0, 1.0)), "–"),
        *sequence(arguments.repeats),
        *learning(arguments.repeats),
    ]
    table = pd.DataFrame(measurements)
    folder.record("benchmark", arguments)
    folder.table("benchmark.csv", table)
    tables.show(table, f"speed: medians of {arguments.repeats} repeats")
    print(f"run folder: {arguments.out}")


def oracle(repeats: int, games: int) -> list[Measurement]:
    """The exact oracle against the post's method, on experiment one."""
    game = Game()
    generator = np.random.default_rng(0)
    schedules = generator.uniform(0, 1, (games, game.episodes))
    discounts, regularizations = generator.uniform(0, 1, games), generator.uniform(0, 0.1, games)
    calls, batches = 10_000, 10

    def one_by_one() -> None:
        for _ in range(calls):
            solve_equilibrium(game)

    def in_a_batch() -> None:
        for _ in range(batches):
            solve_equilibria(schedules, discounts, regularizations)

    medians(1, one_by_one, in_a_batch)  # compiles
    plain, single, many = medians(repeats, lambda: simulated_grid_search(game), one_by_one, in_a_batch)
    single, many = single / calls, many / (batches * games)
    reference = f"the post's method: {plain:.1f} s"
    return [
        Measurement("solve_equilibrium", f"{single * 1e6:.1f} µs", reference, plain / single, "≥ 1e5"),
        Measurement(
            f"solve_equilibria, {games} games",
            f"{many * 1e6:.2f} µs a game",
            reference,
            plain / many,
            "≥ 1e7",
        ),
    ]


def batch(repeats: int, environments: int, game: Game, aim: str, steps: int = 2000) -> Measurement:
    """`make_vec` against Gymnasium's hand-batched CartPole."""
    ours = gym.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=environments, game=game)
    theirs = gym.make_vec("CartPole-v1", num_envs=environments, vectorization_mode="vector_entry_point")
    mine, cartpole = medians(repeats, _stepping(ours, steps), _stepping(theirs, steps))
    rates = (environments * steps / mine, environments * steps / cartpole)
    return Measurement(
        f"make_vec, {environments} environments" + (", goals drawn" if game.n_uniforms else ""),
        f"{rates[0] / 1e6:.1f} M steps/s",
        f"CartPole-v1: {rates[1] / 1e6:.1f} M steps/s",
        rates[0] / rates[1],
        aim,
    )


def sequence(repeats: int) -> list[Measurement]:
    """The AEC environment against rock-paper-scissors, and its growth with the number of agents.

    A turn is one pass of a loop over `agent_iter` with `last` and `step`, as in PettingZoo's own benchmark.
    """
    action = np.full(1, 0.1, dtype=np.float32)
    hundred = mesa_env.env(Game(train_then_deploy(20, 80)))
    thousand = mesa_env.env(Game(train_then_deploy(20, 980)))
    rock_paper_scissors = pettingzoo.make("aec", "classic/rps-v2", max_cycles=2000)
    short, long, theirs = medians(
        repeats,
        lambda: _play(hundred, action, games=50),
        lambda: _play(thousand, action, games=5),
        lambda: _play(rock_paper_scissors, 1, games=3),
    )
    # Every agent has one turn alive and one retiring; rock-paper-scissors has two agents.
    short, long, theirs = short / (50 * 200), long / (5 * 2000), theirs / (3 * 4002)
    return [
        Measurement(
            "AEC turns, 100 agents",
            f"{1 / short / 1e3:.1f} k turns/s",
            f"rock-paper-scissors: {1 / theirs / 1e3:.1f} k turns/s",
            theirs / short,
            "≥ 1",
        ),
        Measurement(
            "cost of a turn, 1000 agents",
            f"{long * 1e6:.0f} µs",
            f"100 agents: {short * 1e6:.0f} µs",
            long / short,
            "≤ 4",
        ),
    ]


def learning(repeats: int, rollouts: int = 10) -> list[Measurement]:
    """PPO self-play: turns per second, and the share of its time that is ours."""
    game, settings = Game(initial_goal=(-1.0, 1.0)), PPOSettings()
    rollout = settings.games * game.episodes
    turns = rollouts * rollout
    totals, shares = [], []
    for seed in range(repeats):
        model = self_play.new_learner(game, settings, seed)
        callbacks = [*self_play.callbacks(game, settings), LearningCurve(game, every=10 * rollout)]
        ours = Stopwatch()
        assert model.env is not None
        ours.time(model.env, "step")
        for callback in callbacks:
            for method in ("on_rollout_start", "on_step", "on_rollout_end"):
                ours.time(callback, method)
        start = time.perf_counter()
        model.learn(turns, callback=callbacks)
        totals.append(time.perf_counter() - start)
        shares.append(ours.seconds / totals[-1])
    total, share = statistics.median(totals), statistics.median(shares)
    return [
        Measurement(
            "PPO self-play, share of time that is ours",
            f"{turns / total / 1e3:.1f} k turns/s",
            "PyTorch and Stable-Baselines3: the rest",
            share,
            "≤ 0.15",
        )
    ]


class Stopwatch:
    """Adds up the seconds spent in chosen methods."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.seconds = 0.0

    def time(self, owner: Any, method: str) -> None:
        """Count the seconds of every call of `owner.method` from now on."""
        untimed = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return untimed(*arguments)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, method, timed)


def medians(repeats: int, *works: Callable[[], Any]) -> list[float]:
    """Median seconds of each piece of work, all of them taken in turns."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for times, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def _stepping(envs: gym.vector.VectorEnv[Any, Any, Any], steps: int) -> Callable[[], None]:
    envs.action_space.seed(0)
    envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(10)]

    def work() -> None:
        for step in range(steps):
            envs.step(actions[step % len(actions)])

    return work


def _play(env: AECEnv[str, Any, Any], action: Any, games: int) -> None:
    for _ in range(games):
        env.reset(seed=0)
        for _ in env.agent_iter():
            _, _, terminated, truncated, _ = env.last()
            env.step(None if terminated or truncated else action)


if __name__ == "__main__":
    run(main, Arguments)
