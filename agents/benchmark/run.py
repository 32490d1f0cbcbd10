"""Runs: one algorithm learns one game from one seed, and is measured against the oracle.

`execute` is a function of the run alone: it neither reads nor writes files, so that it does the same in this
process, in another one, or on another machine.
"""

import dataclasses
import functools
import hashlib
import io
import json
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed

import mesa_env
from agents.benchmark.run_folder import as_json, environment
from agents.benchmark.store import CURVE, empty_row
from agents.learning import algorithms, checkpoints
from agents.learning.callbacks import LearningCurve
from agents.learning.games import typical_goals
from agents.limits import LARGEST_SEED, MOST_TURNS
from mesa_env.agent import Agent
from mesa_env.evaluation.audits import audits_by_simulation
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.parameters import build_game, describe_game
from mesa_env.rules.rules import Array, Rules
from mesa_env.validation import validate_whole

POINTS, POINTS_SIMULATED = 20, 5
"""Points of a learning curve, in games whose audit is in closed form or simulates them."""
GAMES_PLAYED, GAMES_SIMULATED = 16, 4
"""Games that evaluate a learner after training, if the game draws θ_0; in the same two kinds of games."""


@dataclass(frozen=True)
class Run:
    """What to run, in JSON-serializable values."""

    label: str
    """The game's name in its sweep."""
    game: dict[str, Any]
    """The game's plain parameters, all of them (`mesa_env.rules.parameters`)."""
    algorithm: str
    """A name, or "module:function"."""
    parameters: dict[str, Any]
    """All parameters of the algorithm."""
    turns: int
    """Decisions that the algorithm is paid for."""
    seed: int

    def __post_init__(self) -> None:
        """Check what a file might have said; the algorithm checks its own parameters."""
        for name, kind in {"label": str, "algorithm": str, "game": dict, "parameters": dict}.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"a run's {name} must be a {kind.__name__}; got {getattr(self, name)!r}")
        validate_whole("turns", self.turns, 1, MOST_TURNS)
        validate_whole("seed", self.seed, 0, LARGEST_SEED)

    @classmethod
    def of(
        cls, label: str, game: Rules, algorithm: str, parameters: dict[str, Any], turns: int, seed: int
    ) -> Self:
        """Build a run in `game`; raises ValueError if a parameter is not JSON-serializable."""
        try:
            serializable = json.loads(json.dumps(parameters))
        except TypeError as error:
            raise ValueError(
                f"{algorithm}'s parameters must be numbers, strings, or lists or tables of these: {error}"
            ) from error
        return cls(label, describe_game(game), algorithm, serializable, turns, seed)

    @property
    def id(self) -> str:
        """A name that is unique in the sweep, and the run's path in the sweep's folder."""
        return f"{self.label}/{self.algorithm.replace(':', '.')}/{self.turns}/{self.seed}"


class Result(NamedTuple):
    """A run's row in the data set, and the contents of the files in its folder by name."""

    row: dict[str, Any]
    files: dict[str, bytes]


def execute(run: Run, origin: dict[str, Any] | None = None) -> Result:
    """Train and evaluate in this process, whose global random generators and thread count it sets.

    If anything goes wrong, the row's status is "failed" and its traceback says why. `origin` has entries of
    `environment` that this machine cannot know.
    """
    begun, model = describe(run, origin), io.BytesIO()
    try:
        measured, agent = _train_and_measure(run)
        if isinstance(agent, BaseAlgorithm):
            model.write(checkpoints.model_file(agent))
        elif hasattr(agent, "save"):
            agent.save(model)
    except (Exception, SystemExit):
        return fail(begun, traceback.format_exc())
    saved = {"model.zip": model.getvalue()} if model.tell() else {}
    return Result(begun.row | measured, begun.files | saved)


def describe(run: Run, origin: dict[str, Any] | None = None) -> Result:
    """What is known of a result when the run begins."""
    where = environment() | (origin or {})
    row = empty_row() | {
        "run_id": run.id,
        "game": run.label,
        "algorithm": run.algorithm,
        "turns": run.turns,
        "seed": run.seed,
        "status": "failed",
        "game_json": json.dumps(run.game),
        "parameters_json": json.dumps(run.parameters),
        "git_revision": where["git_revision"],
        "versions_json": json.dumps({"python": where["python"]} | where["versions"]),
        "processor": where["processor"],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files = {"config.json": as_json(dataclasses.asdict(run)), "environment.json": as_json(where)}
    return Result(row, files)


def fail(begun: Result, reason: str) -> Result:
    """The result of a run that has failed."""
    return Result(begun.row | {"traceback": reason}, begun.files | {"traceback.txt": reason.encode()})


def evaluation_goals(game: Rules) -> Array:
    """θ_0 of the games that evaluate a learner."""
    return typical_goals(game, GAMES_SIMULATED if audits_by_simulation(game) else GAMES_PLAYED)


def measure_agent(game: Rules, agent: Agent, initial_goals: Array) -> dict[str, Any]:
    """Play one game from every initial goal and measure it; all agents share the random numbers.

    Returns a row's entries, each the mean over those games that have it: every metric, and, in a list by
    agent n, its relative exploitability and its coefficient minus that of its best response.
    """
    game = with_fixed_length(game)
    played = mesa_env.rollout(game, agent, initial_goals, generator=np.random.default_rng(0))
    audited = mesa_env.audit(game, agent, played)
    rows = [mesa_env.measure(game, played.row(i), audited.row(i)) for i in range(len(initial_goals))]
    excess = played.coefficients[:, : audited.best.shape[1]] - audited.best
    return {
        **{str(name): mean for name, mean in pd.DataFrame(rows).mean().items()},
        "episode_exploitability": pd.DataFrame(audited.relative).mean().tolist(),
        "episode_excess": pd.DataFrame(excess).mean().tolist(),
    }


def fingerprint(agent: Agent) -> str:
    """SHA-256 of the weights of an agent's networks, every bit of them; "" if it has none."""
    policy = getattr(agent, "policy", agent)
    if not isinstance(policy, torch.nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(policy.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _train_and_measure(run: Run) -> tuple[dict[str, Any], Agent]:
    """Train, then measure; returns the row's entries of a finished run, and the agent."""
    torch.set_num_threads(1)
    game, train = build_game(run.game), algorithms.algorithm(run.algorithm)
    oracle = _measure_oracle(game)  # first, so that compilation is not counted as time of training
    set_random_seed(run.seed)
    points = POINTS_SIMULATED if audits_by_simulation(game) else POINTS
    curve = LearningCurve(game, run.turns / points, before=run.turns)
    agent = train(game, run.turns, run.seed, curve, **run.parameters)
    seconds = curve.stop()
    if not isinstance(agent, Agent):
        raise TypeError(
            f"an algorithm must return an agent, which has predict; {run.algorithm} returned {agent!r}"
        )
    weights = fingerprint(agent)  # before anything is played: an agent of the user's may keep on learning
    evaluation = measure_agent(game, agent, evaluation_goals(game))
    curve.end(run.turns, evaluation)
    return {
        **evaluation,
        "status": "finished",
        "seconds": seconds,
        **{f"oracle_{name}": oracle[name] for name in ("retention", "nash_conv")},
        "weights": weights,
        **{f"curve_{name}": curve.column(name) for name in CURVE},
    }, agent


@functools.lru_cache(maxsize=8)
def _measure_oracle(game: Rules) -> dict[str, Any]:
    """Measure a game's equilibrium in the games of the evaluation."""
    return measure_agent(
        game, mesa_env.oracle(with_fixed_length(game), uncertified=True), evaluation_goals(game)
    )
