"""Solvers, reference agents, learned agents and metrics for the games of `mesa_env`.

Every agent has Stable-Baselines3's `predict`, so that a trained model can go wherever an oracle can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.audit import Audit, simulated
from agents.equilibrium import (
    best_response,
    best_responses,
    exploitability,
    nash_conv,
    relative_exploitability,
    solve_equilibria,
    solve_equilibrium,
    unit_sums,
)
from agents.grid import grid_search
from agents.metrics import METRICS, compare, measure, summarize
from agents.names import NAMES, VARIANT_NAMES, make
from agents.rollout import Trajectory, play, rollout
from agents.solvers import audit, oracle

if TYPE_CHECKING:
    from pathlib import Path

    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = [
    "METRICS",
    "NAMES",
    "VARIANT_NAMES",
    "Audit",
    "Trajectory",
    "audit",
    "best_response",
    "best_responses",
    "compare",
    "exploitability",
    "grid_search",
    "load",
    "make",
    "measure",
    "nash_conv",
    "oracle",
    "play",
    "relative_exploitability",
    "rollout",
    "simulated",
    "solve_equilibria",
    "solve_equilibrium",
    "summarize",
    "unit_sums",
]


def load(path: str | Path) -> BaseAlgorithm:
    """`agents.files.load`; PyTorch, which only models need, is imported when the first one is loaded.

    The file holds pickles: load only what you trust.
    """
    from agents import files

    return files.load(path)
