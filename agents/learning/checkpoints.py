"""Models and checkpoints on disk.

A model file is Stable-Baselines3's zip archive with one entry more, the name of the algorithm's class; a
checkpoint has another with all else that training needs to resume. Both hold pickles: loading one runs code
that it names. Load only files that you trust.
"""

import contextlib
import io
import json
import pickle
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sb3_contrib import TQC, CrossQ, RecurrentPPO
from stable_baselines3 import A2C, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from agents.atomic_files import write_atomically

KNOWN: dict[str, type[BaseAlgorithm]] = {
    algorithm.__name__: algorithm for algorithm in (PPO, RecurrentPPO, A2C, SAC, TD3, TQC, CrossQ)
}
"""Algorithms whose models can be loaded, by name."""

_MARKS: dict[str, type[BaseAlgorithm]] = {
    "clip_range": PPO,
    "target_policy_noise": TD3,
    "top_quantiles_to_drop_per_net": TQC,
    "target_update_interval": SAC,
    "policy_delay": CrossQ,
    "normalize_advantage": A2C,
}
"""Attributes of a saved model, of which the first that it has tells its algorithm."""

_ALGORITHM, _TRAINING = "algorithm.txt", "training.pkl"


def model_file(model: BaseAlgorithm, **entries: bytes) -> bytes:
    """Content of the file of a model, with more entries in its archive if they are given, by name."""
    file = io.BytesIO()
    model.save(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(_ALGORITHM, type(model).__name__)
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def save(model: BaseAlgorithm, path: Path) -> None:
    """Save a model as an agent that `load` restores."""
    write_atomically(path, model_file(model))


def load(path: str | Path) -> BaseAlgorithm:
    """Load a model saved by `scripts/train.py`, by a sweep, or by Stable-Baselines3; it is an agent.

    The file holds pickles: load only files you trust.

    Raises:
        ValueError: If there is no such file, or it is not a whole model of an algorithm known here.
    """
    with refuse_damage(path, "model of Stable-Baselines3"):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            missing = {"data", "policy.pth"} - set(archive.namelist())
            if damaged or missing:
                raise ValueError(f"its part {damaged or min(missing)!r} is damaged or missing")
            algorithm = _algorithm(archive)
        return algorithm.load(path, device="cpu")


@contextlib.contextmanager
def refuse_damage(path: str | Path, kind: str) -> Iterator[None]:
    """Turn whatever reading a missing or damaged file raises into a ValueError: it must be a whole `kind`."""
    if not Path(path).is_file():
        raise ValueError(f"{path} must be a {kind}; there is none")
    try:
        yield
    except Exception as error:  # whatever damaged pickles and archives may raise
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} must be a whole {kind}; it cannot be read: {reason}") from error


def _algorithm(archive: zipfile.ZipFile) -> type[BaseAlgorithm]:
    """The class of the algorithm that an archive names, or that its attributes suggest if it names none."""
    if _ALGORITHM in archive.namelist():
        name = archive.read(_ALGORITHM).decode()
        if name not in KNOWN:
            raise ValueError(f"it holds a model of {name}, not of {', '.join(KNOWN)}")
        return KNOWN[name]
    saved = json.loads(archive.read("data"))
    policy = saved.get("policy_class") or {}
    if str(policy.get("__module__", "")).startswith("sb3_contrib.common.recurrent"):
        return RecurrentPPO
    for mark, algorithm in _MARKS.items():
        if mark in saved:
            return algorithm
    raise ValueError(f"it holds no model of {', '.join(KNOWN)}")


def save_checkpoint(model: OnPolicyAlgorithm, path: Path, points: list[dict[str, float]]) -> None:
    """Save all that training needs to resume as if it had not been interrupted, in one file.

    The model must be between two rollouts; `points` are those of its learning curve so far.
    """
    assert model.env is not None
    training = {
        "environment": model.env,
        "games": model.env.unwrapped,  # which VecNormalize leaves out of its pickle
        "points": points,
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - Stable-Baselines3 draws its minibatches from it
        "python": random.getstate(),
    }
    write_atomically(path, model_file(model, **{_TRAINING: pickle.dumps(training)}))


def load_checkpoint(path: Path) -> tuple[OnPolicyAlgorithm, list[dict[str, float]]]:
    """A model ready to resume its training bit for bit, and the points of its learning curve so far.

    This sets the global random generators that training uses. The file holds pickles: load only files you
    trust.

    Raises:
        ValueError: If there is no such file, or it is not a whole checkpoint.
    """
    model = load(path)
    with zipfile.ZipFile(path) as archive:
        if not isinstance(model, OnPolicyAlgorithm) or _TRAINING not in archive.namelist():
            raise ValueError(f"{path} must be a checkpoint; it is a finished model")
        with refuse_damage(path, "checkpoint"):
            training = pickle.loads(archive.read(_TRAINING))
    environment = training["environment"]
    if isinstance(environment, VecNormalize):
        environment.set_venv(training["games"])
    model.set_env(environment, force_reset=False)
    torch.set_rng_state(training["torch"])
    np.random.set_state(training["numpy"])  # noqa: NPY002 - see save_checkpoint
    random.setstate(training["python"])
    return model, training["points"]
