"""Agents that play the games of `mesa_env`: reference agents, oracles by name, and learners.

Every agent has Stable-Baselines3's `predict`, so that a trained model can go wherever an oracle can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.names import NAMES, VARIANT_NAMES, make

if TYPE_CHECKING:
    from pathlib import Path

    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["NAMES", "VARIANT_NAMES", "load", "make"]


def load(path: str | Path) -> BaseAlgorithm:
    """`agents.learning.checkpoints.load`; PyTorch is imported when the first model is loaded.

    The file holds pickles: load only what you trust.
    """
    from agents.learning import checkpoints

    return checkpoints.load(path)
