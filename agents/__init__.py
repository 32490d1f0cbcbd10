"""Agents that play the games of `mesa_env`: reference agents, oracles by name, and learners.

Every agent has Stable-Baselines3's `predict`, so that a trained model can go wherever an oracle can.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.learning.checkpoints import load
    from agents.names import NAMES, VARIANT_NAMES, make

__all__ = ["NAMES", "VARIANT_NAMES", "load", "make"]


def __getattr__(name: str) -> Any:
    """A name of a module that is imported on first use: solvers and PyTorch take a while to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "agents.learning.checkpoints" if name == "load" else "agents.names"
    return getattr(importlib.import_module(module), name)
