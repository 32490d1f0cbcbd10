"""Runs: one algorithm learns one game from one seed, and is measured against the oracle.

`execute` is a function of the run alone: it reads and writes no file, so that it does the same in this
process, in another, or on another machine.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed

import mesa_env
from agents.benchmark.run_folder import environment
from agents.learning import algorithms, checkpoints
from agents.learning.callbacks import LearningCurve
from agents.learning.games import typical_goals
from mesa_env import GAMES, Game
from mesa_env.agent import Agent
from mesa_env.evaluation.audits import audits_by_simulation
from mesa_env.rules.game import Array
from mesa_env.rules.infinite_horizon import with_fixed_length

POINTS = 20
"""Points of a learning curve; where a game must be simulated to measure a learner, there are fewer."""
POINTS_SIMULATED = 5
GAMES_PLAYED = 16
"""Games of the evaluation after training, if the game draws θ_0; fewer where they must be simulated."""
GAMES_SIMULATED = 4

_RULES = {kind.__name__: kind for kind in GAMES.values()}


@dataclass(frozen=True)
class Run:
    """What is to be done, in words and numbers that JSON has.

    Attributes:
        label: The game's name in its sweep.
        game: The name of its rules, and all their parameters.
        algorithm: A name, or "module:function".
        parameters: All of the algorithm's.
        turns: Decisions that the algorithm is paid for.
        seed: Of everything random.
    """

    label: str
    game: dict[str, Any]
    algorithm: str
    parameters: dict[str, Any]
    turns: int
    seed: int

    @classmethod
    def of(
        cls, label: str, game: Game, algorithm: str, parameters: Mapping[str, Any], turns: int, seed: int
    ) -> Run:
        """A run in a game as it is.

        Raises:
            ValueError: If JSON has no words for one of the algorithm's parameters.
        """
        numbers = dataclasses.asdict(game) | {"learning_rates": game.learning_rates.tolist()}
        try:
            content = json.dumps([{"rules": type(game).__name__} | numbers, dict(parameters)])
        except TypeError as error:
            raise ValueError(
                f"{algorithm}'s parameters must be numbers, words, or lists or tables of these: {error}"
            ) from error
        described, given = json.loads(content)
        return cls(label, described, algorithm, given, turns, seed)

    @property
    def id(self) -> str:
        """A name that no other run of its sweep has, and its path in the sweep's folder."""
        return f"{self.label}/{self.algorithm.replace(':', '.')}/{self.turns}/{self.seed}"

    def build_game(self) -> Game:
        """The game to be learned."""
        parameters = dict(self.game)
        return _RULES[parameters.pop("rules")](**parameters)


class Result(NamedTuple):
    """What came of a run.

    Attributes:
        row: The run's row in the data set.
        files: Content of the files in its folder, by name.
        elapsed: Seconds from its start to its end, those of measuring included.
    """

    row: dict[str, Any]
    files: dict[str, bytes]
    elapsed: float


class Evaluation(NamedTuple):
    """A few games of one agent, each number the mean over those games that have it.

    Attributes:
        metrics: By the names of `mesa_env.METRICS`.
        exploitability: Relative exploitability of each agent n.
        excess: How much larger than its best response each agent's coefficient was.
    """

    metrics: dict[str, float]
    exploitability: list[float]
    excess: list[float]


def execute(run: Run) -> Result:
    """Train and evaluate in this process, whose global random generators and threads it sets.

    Whatever goes wrong is told by the row, whose status is then "failed".
    """
    began = time.perf_counter()
    row, files = _begun(run)
    try:
        learned, agent = _learned(run)
        row |= learned
        if isinstance(agent, BaseAlgorithm):
            files["model.zip"] = checkpoints.model_file(agent)
        elif hasattr(agent, "save"):
            buffer = io.BytesIO()
            agent.save(buffer)
            files["model.zip"] = buffer.getvalue()
    except (Exception, SystemExit):
        return _failed(row, files, traceback.format_exc(), time.perf_counter() - began)
    return Result(row, files, time.perf_counter() - began)


def lost(run: Run, reason: str) -> Result:
    """The result of a run whose process came to an end before it could tell one."""
    return _failed(*_begun(run), reason, 0.0)


def evaluation_goals(game: Game) -> Array:
    """θ_0 of the games that a learner is evaluated by."""
    return typical_goals(game, GAMES_SIMULATED if audits_by_simulation(game) else GAMES_PLAYED)


def evaluate(game: Game, agent: Agent, initial_goals: Array) -> Evaluation:
    """Play one game from every initial goal and measure them all; whoever plays meets the same chance."""
    game = with_fixed_length(game)
    played = mesa_env.rollout(game, agent, initial_goals, generator=np.random.default_rng(0))
    audited = mesa_env.audit(game, agent, played)
    rows = [mesa_env.measure(game, played.row(i), audited.row(i)) for i in range(len(initial_goals))]
    excess = played.coefficients[:, : audited.best.shape[1]] - audited.best
    return Evaluation(
        {str(name): mean for name, mean in pd.DataFrame(rows).mean().items()},
        pd.DataFrame(audited.relative).mean().tolist(),
        pd.DataFrame(excess).mean().tolist(),
    )


def fingerprint(agent: Agent) -> str:
    """SHA-256 of the weights of an agent's networks, told apart by their last bit; "" if it has none."""
    policy = getattr(agent, "policy", agent)
    if not isinstance(policy, torch.nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(policy.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _learned(run: Run) -> tuple[dict[str, Any], Agent]:
    """Train, then measure: what the row of a finished run says of it, and the agent."""
    torch.set_num_threads(1)
    game, train = run.build_game(), algorithms.algorithm(run.algorithm)
    exact = _oracle(json.dumps(run.game))  # first, so that no training's clock is charged with compilation
    set_random_seed(run.seed)
    points = POINTS_SIMULATED if audits_by_simulation(game) else POINTS
    curve = LearningCurve(game, run.turns / points, before=run.turns)
    agent = train(game, run.turns, run.seed, curve, **run.parameters)
    seconds = curve.stop()
    if not isinstance(agent, Agent):
        raise TypeError(
            f"an algorithm must return an agent, which has predict; {run.algorithm} returned {agent!r}"
        )
    weights = fingerprint(agent)
    evaluation = evaluate(game, agent, evaluation_goals(game))
    curve.end(run.turns, evaluation.metrics)
    return {
        "status": "finished",
        "seconds": seconds,
        **evaluation.metrics,
        "oracle_retention": exact["retention"],
        "oracle_nash_conv": exact["nash_conv"],
        "weights": weights,
        "curve_turns": curve.column("turns"),
        "curve_seconds": curve.column("seconds"),
        "curve_nash_conv": curve.column("nash_conv"),
        "curve_relative_exploitability": curve.column("relative_exploitability"),
        "curve_retention": curve.column("retention"),
        "episode_exploitability": evaluation.exploitability,
        "episode_excess": evaluation.excess,
    }, agent


@functools.lru_cache(maxsize=8)
def _oracle(described: str) -> dict[str, float]:
    """The metrics of a game's equilibrium in the games of the evaluation."""
    game = Run("", json.loads(described), "", {}, 0, 0).build_game()
    exact = mesa_env.oracle(with_fixed_length(game))
    return evaluate(game, exact, evaluation_goals(game)).metrics


def _begun(run: Run) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Row and files of nothing but what is known when a run begins."""
    where = environment()
    unknown = (*mesa_env.METRICS, "seconds", "oracle_retention", "oracle_nash_conv")
    curve = ("turns", "seconds", "nash_conv", "relative_exploitability", "retention")
    row = {
        "run_id": run.id,
        "game": run.label,
        "algorithm": run.algorithm,
        "turns": run.turns,
        "seed": run.seed,
        "status": "failed",
        "traceback": "",
        "game_json": json.dumps(run.game),
        "parameters_json": json.dumps(run.parameters),
        **dict.fromkeys(unknown),
        "weights": "",
        **{f"curve_{name}": [] for name in curve},
        "episode_exploitability": [],
        "episode_excess": [],
        "git_revision": where["git_revision"],
        "versions_json": json.dumps({"python": where["python"]} | where["versions"]),
        "processor": where["processor"],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return row, {"config.json": as_json(dataclasses.asdict(run)), "environment.json": as_json(where)}


def _failed(row: dict[str, Any], files: dict[str, bytes], reason: str, elapsed: float) -> Result:
    return Result(row | {"traceback": reason}, files | {"traceback.txt": reason.encode()}, elapsed)


def as_json(content: Any) -> bytes:
    """A JSON file, for people to read."""
    return (json.dumps(content, indent=2) + "\n").encode()
