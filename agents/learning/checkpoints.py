"""Models and checkpoints on disk.

A model file is Stable-Baselines3's zip archive with one entry more, the name of the algorithm's class; a
checkpoint has another with all else that training needs to resume. Both hold pickles: loading one runs code
that it names. Load only files that you trust.
"""

import contextlib
import functools
import io
import json
import pickle
import random
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import TQC, CrossQ, RecurrentPPO
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecNormalize

from agents.atomic_files import write_atomically
from agents.differences import describe_difference

KNOWN: dict[str, type[BaseAlgorithm]] = {
    algorithm.__name__: algorithm for algorithm in (PPO, RecurrentPPO, A2C, SAC, TD3, DDPG, TQC, CrossQ)
}
"""Algorithms whose models can be loaded, by name."""

_ALGORITHM, _ORIGIN, _TRAINING = "algorithm.txt", "origin.json", "training.pkl"

_ADDED = frozenset({"n_steps", "rollout_buffer_class", "rollout_buffer_kwargs", "_stats_window_size"})
"""Attributes that models of earlier releases of Stable-Baselines3 may lack."""


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
            _check_whole(archive)
            named = archive.read(_ALGORITHM).decode() if _ALGORITHM in archive.namelist() else None
        if named is not None and named not in KNOWN:
            raise ValueError(f"it holds a model of {named}, not of {', '.join(KNOWN)}")
        return (KNOWN[named] if named else _recognize(path)).load(path, device="cpu")


def _check_whole(archive: zipfile.ZipFile) -> None:
    """Raise ValueError if a part of a model's archive is damaged or missing."""
    damaged = archive.testzip()
    missing = {"data", "policy.pth"} - set(archive.namelist())
    if damaged or missing:
        raise ValueError(f"its part {damaged or min(missing)!r} is damaged or missing")


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


def _recognize(path: str | Path) -> type[BaseAlgorithm]:
    """The algorithm of a model that Stable-Baselines3 saved, whose file does not name it.

    It is the one with exactly the attributes that the file holds, and a policy of its kind. DDPG is TD3
    without delay and without noise on targets, which the file holds as well.
    """
    loaded, _, _ = load_from_zip_file(path, device="cpu")
    saved = loaded or {}
    names, policy = set(saved), saved.get("policy_class")
    known: list[type[BaseAlgorithm]] = [RecurrentPPO, *KNOWN.values()]  # its policies are of PPO's kind, too
    for algorithm in known:
        kind = next(iter(algorithm.policy_aliases.values()))
        every, always = _attributes(algorithm)
        of_its_kind = isinstance(policy, type) and issubclass(policy, kind)
        if of_its_kind and names <= every and always - names <= _ADDED:
            is_ddpg = algorithm is TD3 and (saved["policy_delay"], saved["target_noise_clip"]) == (1, 0)
            return DDPG if is_ddpg else algorithm
    raise ValueError(f"it is not of {', '.join(KNOWN)}, by the attributes and the policy that it has")


@functools.cache
def _attributes(algorithm: type[BaseAlgorithm]) -> tuple[set[str], set[str]]:
    """Names of the attributes that models of an algorithm have, and of those that every file holds."""
    with torch.random.fork_rng(devices=[]):
        build: Any = algorithm
        model = build(next(iter(algorithm.policy_aliases)), gym.make("Pendulum-v1"), device="cpu")
    tensors = {name.partition(".")[0] for names in model._get_torch_save_params() for name in names}
    return set(vars(model)), set(vars(model)) - set(model._excluded_save_params()) - tensors


class Resumed(NamedTuple):
    """A training as a checkpoint holds it."""

    model: OnPolicyAlgorithm
    """Ready to resume."""
    points: list[dict[str, float]]
    """Those of its learning curve so far."""
    logged: dict[str, tuple[Any, tuple[str, ...]]]
    """What its logger has recorded since it last wrote, and the formats that each is not for."""


def save_checkpoint(
    model: OnPolicyAlgorithm,
    path: Path,
    points: list[dict[str, float]],
    origin: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Save all that training needs to resume as if it had not been interrupted, in one file.

    The model must be between two rollouts; `points` are those of its learning curve so far. The training is
    named by its JSON-serializable `origin`.
    """
    assert model.env is not None
    training = {
        "environment": model.env,
        "games": model.env.unwrapped,  # which VecNormalize leaves out of its pickle
        "points": points,
        "logged": {
            name: (value, model.logger.name_to_excluded[name])
            for name, value in model.logger.name_to_value.items()
        },
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - Stable-Baselines3 draws its minibatches from it
        "python": random.getstate(),
    }
    named = json.dumps(dict(origin)).encode()
    write_atomically(path, model_file(model, **{_ORIGIN: named, _TRAINING: pickle.dumps(training)}))


def load_checkpoint(path: Path, origin: Mapping[str, Any] | None = None) -> Resumed:
    """Restore a training, so that it resumes bit for bit.

    This sets the global random generators that training uses. The file holds pickles: load only files you
    trust.

    Raises:
        ValueError: If there is no such file, it is not a whole checkpoint, or it names another training than
            `origin`, if that is given.
    """
    with refuse_damage(path, "checkpoint"), zipfile.ZipFile(path) as archive:
        _check_whole(archive)
        training = archive.read(_TRAINING) if _TRAINING in archive.namelist() else None
        named = json.loads(archive.read(_ORIGIN)) if _ORIGIN in archive.namelist() else {}
    if training is None:
        raise ValueError(f"{path} must be a checkpoint; it is a finished model")
    if origin is not None and named != origin:
        raise ValueError(f"{path} must be of this training; {describe_difference(named, dict(origin))}")
    model = load(path)
    with refuse_damage(path, "checkpoint"):
        return _restore(model, pickle.loads(training))


def _restore(model: BaseAlgorithm, training: Mapping[str, Any]) -> Resumed:
    if not isinstance(model, OnPolicyAlgorithm):
        raise ValueError(f"it holds a model of {type(model).__name__}")
    environment = training["environment"]
    if isinstance(environment, VecNormalize):
        environment.set_venv(training["games"])
    model.set_env(environment, force_reset=False)
    torch.set_rng_state(training["torch"])
    np.random.set_state(training["numpy"])  # noqa: NPY002 - see save_checkpoint
    random.setstate(training["python"])
    return Resumed(model, training["points"], training["logged"])
