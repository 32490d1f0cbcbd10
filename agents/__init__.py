"""Agents that play the games of `mesa_env`: reference agents, oracles by name, and learners.

Every agent has Stable-Baselines3's `predict`, so that a trained model can go wherever an oracle can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from stable_baselines3.common.base_class import BaseAlgorithm

    from agents.names import NAMES, VARIANT_NAMES, make

__all__ = ["NAMES", "VARIANT_NAMES", "load", "make"]


def load(path: str | Path) -> BaseAlgorithm:
    """`agents.learning.checkpoints.load`; PyTorch is imported when the first model is loaded.

    The file holds pickles: load only files you trust.
    """
    from agents.learning import checkpoints

    return checkpoints.load(path)


def __getattr__(name: str) -> Any:
    """A name of `agents.names`, which is imported on first use, since solvers take a while to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agents import names

    return getattr(names, name)
