"""Games of the experiment on hidden deployment, and how open the model is in them."""

from __future__ import annotations

from typing import Literal

import numpy as np

import mesa_env
from mesa_env import HiddenDeployment, train_then_deploy
from mesa_env.agent import Agent
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.rules import Array

Observed = Literal["belief", "signal"]
GAMES, GOAL, CLEAN = 4000, 0.8, 0.9


def make_game(length: int, shift: float, observed: Observed = "belief") -> HiddenDeployment:
    """The game of so many episodes, with η = 1 while training lasts, and hazard 0.05."""
    return HiddenDeployment(train_then_deploy(length, 0), shift=shift, observed=observed)


def play(game: HiddenDeployment, agent: Agent | None = None, games: int = GAMES) -> Trajectory:
    """Many games of an agent, by default the oracle; the same random numbers in all calls."""
    agent = agent or mesa_env.oracle(game)
    return mesa_env.rollout(game, agent, np.full(games, GOAL), generator=np.random.default_rng(0))


def measure_openness(played: Trajectory, longest: int = 15) -> Array:
    """Mean coefficient in the first, second, … episode of deployment, over the games that have it."""
    deployed = played.details["mode"] == 0
    since = np.cumsum(deployed, axis=1) * deployed
    return np.array([played.coefficients[since == j].mean() for j in range(1, longest + 1)])
