"""Models and checkpoints on disk.

A model file is a zip archive of Stable-Baselines3's, which holds pickles: loading one runs code that it
names. Load only files that you trust.
"""

from __future__ import annotations

import io
import json
import lzma
import pickle
import random
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import TQC, CrossQ, RecurrentPPO
from stable_baselines3 import A2C, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize

from agents.atomic_files import write_atomically
from agents.learning.settings import Learner, RecurrentLearner, SelfPlayModel

DAMAGE = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged model file may raise."""


def save(model: SelfPlayModel, path: Path) -> None:
    """Save a model as an agent that `load` brings back."""
    buffer = io.BytesIO()
    model.save(buffer)
    write_atomically(path, buffer.getvalue())


def load(path: str | Path) -> BaseAlgorithm:
    """Load a model saved by `scripts/train.py`, by a sweep, or by Stable-Baselines3; it is an agent.

    The file holds pickles: load only what you trust.

    Raises:
        ValueError: If there is no such file, or it is no whole model of an algorithm known here.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"a model file must exist; there is none at {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            missing = {"data", "policy.pth"} - set(archive.namelist())
            if damaged or missing:
                raise ValueError(f"its part {damaged or min(missing)!r} is damaged or missing")
            algorithm = _algorithm(json.loads(archive.read("data")))
        return algorithm.load(path, device="cpu")
    except DAMAGE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} must be a whole model of Stable-Baselines3; it cannot be read: {reason}"
        ) from error


def _algorithm(saved: dict[str, Any]) -> type[BaseAlgorithm]:
    """The algorithm that saved these attributes, told by the first of these that it has."""
    policy = saved.get("policy_class") or {}
    if str(policy.get("__module__", "")).startswith("sb3_contrib.common.recurrent"):
        return RecurrentLearner if "learning_curve" in saved else RecurrentPPO
    marks: dict[str, type[BaseAlgorithm]] = {
        "learning_curve": Learner,
        "clip_range": PPO,
        "target_policy_noise": TD3,
        "top_quantiles_to_drop_per_net": TQC,
        "target_update_interval": SAC,
        "policy_delay": CrossQ,
        "normalize_advantage": A2C,
    }
    for mark, algorithm in marks.items():
        if mark in saved:
            return algorithm
    raise ValueError("it holds no model of PPO, recurrent PPO, A2C, SAC, TD3, TQC or CrossQ")


def save_checkpoint(model: SelfPlayModel, path: Path) -> None:
    """Save all that training needs to go on as if it had not been interrupted, in one file."""
    assert model.env is not None
    model.interrupted = {
        "environment": model.env,
        "games": model.env.unwrapped,  # which VecNormalize leaves out of its pickle
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - Stable-Baselines3 draws its minibatches from it
        "python": random.getstate(),
    }
    try:
        save(model, path)
    finally:
        model.interrupted = None


def load_checkpoint(path: Path) -> SelfPlayModel:
    """A model ready to go on learning from its checkpoint, bit for bit; sets the global generators it uses.

    The file holds pickles: load only what you trust.

    Raises:
        ValueError: If there is no such file, or it is no whole checkpoint.
    """
    model = load(path)
    if not isinstance(model, SelfPlayModel) or model.interrupted is None:
        raise ValueError(f"{path} must be a checkpoint; it is a finished model")
    interrupted = model.interrupted
    model.interrupted = None
    environment = interrupted["environment"]
    if isinstance(environment, VecNormalize):
        environment.set_venv(interrupted["games"])
    model.set_env(environment, force_reset=False)
    torch.set_rng_state(interrupted["torch"])
    np.random.set_state(interrupted["numpy"])  # noqa: NPY002 - see save_checkpoint
    random.setstate(interrupted["python"])
    return model


class Checkpoint(BaseCallback):
    """Saves a checkpoint every few rollouts, between one rollout's training and the next one's first turn."""

    def __init__(self, path: Path, every: int) -> None:
        """Save to `path` before every `every`-th rollout but the first."""
        super().__init__()
        self.path, self.every = path, every
        self._rollouts = 0

    def _on_rollout_start(self) -> None:
        if self._rollouts and self._rollouts % self.every == 0:
            assert isinstance(self.model, SelfPlayModel)
            save_checkpoint(self.model, self.path)
        self._rollouts += 1

    def _on_step(self) -> bool:
        return True
