"""Speed as ratios: what is compared is measured side by side, in turns, in one process.

The references are the post's method written plainly, and the environments of Gymnasium and PettingZoo.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pettingzoo
from pettingzoo import AECEnv

import mesa_env
from agents.learning import self_play
from agents.learning.callbacks import LearningCurve
from agents.learning.settings import PPOSettings
from mesa_env import Game, solve_equilibria, solve_equilibrium, train_then_deploy
from mesa_env.rules.rules import Rules
from mesa_env.solutions.grid import simulated_grid_search


class Measurement(NamedTuple):
    """One row of the table: two figures with their units, their ratio, and what the ratio should be."""

    what: str
    ours: str
    reference: str
    ratio: float
    aim: str


def measure_oracle(repeats: int, games: int) -> list[Measurement]:
    """The exact oracle against the post's method, on experiment one."""
    game = Game()
    generator = np.random.default_rng(0)
    schedules = generator.uniform(0, 1, (games, game.episodes))
    discounts, regularizations = generator.uniform(0, 1, games), generator.uniform(0, 0.1, games)
    calls, batches = 10_000, 10
    solvers = (
        lambda: _repeat(calls, solve_equilibrium, game),
        lambda: _repeat(batches, solve_equilibria, schedules, discounts, regularizations),
    )
    median_seconds(1, *solvers)  # compiles
    plain, single, many = median_seconds(repeats, lambda: simulated_grid_search(game), *solvers)
    single, many = single / calls, many / (batches * games)
    name, reference = f"solve_equilibria, {games} games", f"the post's method: {plain:.1f} s"
    return [
        Measurement("solve_equilibrium", f"{single * 1e6:.1f} µs", reference, plain / single, "≥ 1e5"),
        Measurement(name, f"{many * 1e6:.2f} µs per game", reference, plain / many, "≥ 1e7"),
    ]


def measure_batch(repeats: int, environments: int, game: Rules, aim: str) -> Measurement:
    """`make_vec` against Gymnasium's CartPole, which is vectorized by hand."""
    steps = 2000
    ours = gym.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=environments, game=game)
    theirs = gym.make_vec("CartPole-v1", num_envs=environments, vectorization_mode="vector_entry_point")
    seconds = median_seconds(repeats, _step_repeatedly(ours, steps), _step_repeatedly(theirs, steps))
    rate, cartpole = (environments * steps / value / 1e6 for value in seconds)
    name = f"make_vec, {environments} environments" + (", goals drawn" if game.n_uniforms else "")
    reference = f"CartPole-v1: {cartpole:.1f} M steps/s"
    return Measurement(name, f"{rate:.1f} M steps/s", reference, rate / cartpole, aim)


def measure_turns(repeats: int) -> list[Measurement]:
    """The AEC environment against rock-paper-scissors, and its growth with the number of agents.

    A turn is one pass of a loop over `agent_iter` with `last` and `step`, as in PettingZoo's own benchmark.
    """
    action = np.full(1, 0.1, dtype=np.float32)
    hundred, thousand = (mesa_env.env(Game(train_then_deploy(20, deploy))) for deploy in (80, 980))
    rock_paper_scissors = pettingzoo.make("aec", "classic/rps-v2", max_cycles=2000)
    short, long, theirs = median_seconds(
        repeats,
        lambda: _repeat(50, _play, hundred, action),
        lambda: _repeat(5, _play, thousand, action),
        lambda: _repeat(3, _play, rock_paper_scissors, 1),
    )
    # Every agent has one turn alive and one retiring; rock-paper-scissors has two agents.
    short, long, theirs = short / (50 * 200), long / (5 * 2000), theirs / (3 * 4002)
    rate, their_rate = (f"{1 / seconds / 1e3:.1f} k turns/s" for seconds in (short, theirs))
    reference, shorter = f"rock-paper-scissors: {their_rate}", f"100 agents: {short * 1e6:.0f} µs"
    return [
        Measurement("AEC turns, 100 agents", rate, reference, theirs / short, "≥ 1"),
        Measurement("cost of a turn, 1000 agents", f"{long * 1e6:.0f} µs", shorter, long / short, "≤ 4"),
    ]


def measure_learning(repeats: int) -> Measurement:
    """PPO self-play: turns per second, and the share of its time that is ours."""
    game, settings = Game(initial_goal=(-1.0, 1.0)), PPOSettings()
    turns = 10 * settings.games * game.episodes  # of ten rollouts
    totals, shares = [], []
    for seed in range(repeats):
        model = self_play.new_learner(game, settings, seed)
        callbacks = [*self_play.training_callbacks(game, settings), LearningCurve(game, every=turns)]
        ours, whole = Stopwatch(), Stopwatch()
        ours.time(model.env, "step")
        for callback in callbacks:
            for method in ("on_rollout_start", "on_step", "on_rollout_end"):
                ours.time(callback, method)
        whole.time(model, "learn")
        model.learn(turns, callback=callbacks)
        totals.append(whole.seconds)
        shares.append(ours.seconds / totals[-1])
    return Measurement(
        "PPO self-play, share of time that is ours",
        f"{turns / statistics.median(totals) / 1e3:.1f} k turns/s",
        "PyTorch and Stable-Baselines3: the rest",
        statistics.median(shares),
        "≤ 0.15",
    )


class Stopwatch:
    """Adds up the seconds spent in chosen methods."""

    seconds = 0.0

    def time(self, owner: Any, method: str) -> None:
        """Count the seconds of every call of `owner.method` from now on."""
        untimed = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return untimed(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, method, timed)


def median_seconds(repeats: int, *works: Callable[[], Any]) -> list[float]:
    """Median seconds of each piece of work, over repeats in which all are done in turn."""

    def seconds(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    rounds = [[seconds(work) for work in works] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def _repeat(times: int, function: Callable[..., object], *arguments: object) -> None:
    for _ in range(times):
        function(*arguments)


def _step_repeatedly(envs: gym.vector.VectorEnv[Any, Any, Any], steps: int) -> Callable[[], None]:
    envs.action_space.seed(0)
    envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(10)]

    def work() -> None:
        for step in range(steps):
            envs.step(actions[step % len(actions)])

    return work


def _play(env: AECEnv[str, Any, Any], action: Any) -> None:
    env.reset(seed=0)
    for _ in env.agent_iter():
        _, _, terminated, truncated, _ = env.last()
        env.step(None if terminated or truncated else action)
