"""Models and checkpoints survive the disk, and nothing else passes for one."""

import io
import os
import random
import re
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import TQC, CrossQ
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback

import agents
import mesa_env
from agents.learning import checkpoints, controller, self_play
from agents.learning.callbacks import LearningCurve
from agents.learning.settings import PPOSettings
from mesa_env import Game, train_then_deploy

GAME = Game(learning_rates=train_then_deploy(2, 2), initial_goal=(-1, 1))
SETTINGS = PPOSettings(
    turns=16 * 6, games=4, epochs=2, minibatches=2, hidden=8
)  # 6 rollouts of 4 games × 4 episodes


@pytest.fixture(scope="module")
def model():
    return self_play.learn(GAME, SETTINGS, seed=0)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.zip"
    checkpoints.save(model, path)
    return path


def observations():
    generator = np.random.default_rng(0)
    return generator.uniform(0, 1, (50, 4)).astype(np.float32)


# -- Models -----------------------------------------------------------------------------------------------


def test_a_loaded_model_predicts_identically(model, saved):
    for path in (saved, str(saved)):
        loaded = agents.load(path)
        np.testing.assert_array_equal(
            loaded.predict(observations(), deterministic=True)[0],
            model.predict(observations(), deterministic=True)[0],
        )
    played = [mesa_env.rollout(GAME, agent, [0.8, -0.3]) for agent in (model, agents.load(saved))]
    for field in ("goals", "coefficients", "outputs", "base_losses", "training", "actions"):
        np.testing.assert_array_equal(*(getattr(trajectory, field) for trajectory in played))


def bad_file(kind, good, path):
    """Make something at `path` that is not a model."""
    content = good.read_bytes()
    if kind == "directory":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("Not a model, but a letter.\n" * 100)
    elif kind == "foreign zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "nothing here")
    elif kind == "zip with the right names":
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("data", "policy.pth", "pytorch_variables.pth", "policy.optimizer.pth"):
                archive.writestr(name, "{}")
    elif kind == "without its networks":
        with zipfile.ZipFile(good) as whole, zipfile.ZipFile(path, "w") as archive:
            for name in whole.namelist():
                if name != "policy.pth":
                    archive.writestr(name, whole.read(name))
    elif kind.startswith("wrongly said to be"):
        damaged = bytearray(content)
        last = damaged.rindex(b"PK\x01\x02")  # the directory's entry of the last part
        damaged[last + 10] = {"deflated": 8, "bzip2": 12, "lzma": 14}[kind.split()[-1]]
        path.write_bytes(damaged)
    elif kind == "directory beyond the end":
        damaged = bytearray(content)
        damaged[-3] = 14  # the archive says that its directory starts far behind its end
        path.write_bytes(damaged)
    elif kind == "damaged":
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 0xFF
        path.write_bytes(damaged)
    elif kind.startswith("truncated"):
        path.write_bytes(content[: int(len(content) * float(kind.split()[-1]))])
    elif kind == "another algorithm":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data", '{"exploration_rate": 1.0}')
            archive.writestr("policy.pth", b"")


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "directory",
        "empty",
        "text",
        "foreign zip",
        "zip with the right names",
        "without its networks",
        "wrongly said to be deflated",
        "wrongly said to be bzip2",
        "wrongly said to be lzma",
        "directory beyond the end",
        "damaged",
        "truncated 0.01",
        "truncated 0.5",
        "truncated 0.999",
        "another algorithm",
    ],
)
@pytest.mark.parametrize("load", [agents.load, checkpoints.load_checkpoint])
def test_what_is_no_model_is_refused_by_its_path(kind, load, saved, tmp_path):
    path = tmp_path / "model.zip"
    bad_file(kind, saved, path)
    with pytest.raises(ValueError, match=re.escape(str(path))) as refusal:
        load(path)
    assert "must" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_finished_model_is_no_checkpoint(saved):
    with pytest.raises(ValueError, match=re.escape(f"{saved} must be a checkpoint; it is a finished model")):
        checkpoints.load_checkpoint(saved)


# -- Writing ----------------------------------------------------------------------------------------------


def test_writes_and_writes_over(tmp_path):
    path = tmp_path / "file"
    for content in (b"old", b"new, and longer", b""):
        checkpoints.write_atomically(path, content)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(failing, tmp_path, monkeypatch):
    path = tmp_path / "file"
    checkpoints.write_atomically(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_leaves_the_old_model(model, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    for save in (checkpoints.save, checkpoints.save_checkpoint):
        with pytest.raises(OSError, match="disk full"):
            save(model, saved)
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]
    assert model.interrupted is None


# -- Checkpoints ------------------------------------------------------------------------------------------


class Interruption(BaseCallback):
    """Stops the training as Ctrl-C would, in the middle of a rollout."""

    def __init__(self, turns):
        super().__init__()
        self.turns = turns

    def _on_step(self):
        if self.num_timesteps >= self.turns:
            raise KeyboardInterrupt
        return True


PROBLEMS = {
    "self-play": (
        lambda: self_play.new_learner(GAME, SETTINGS, seed=1),
        lambda: self_play.callbacks(GAME, SETTINGS),
    ),
    "controller": (
        lambda: controller.new_controller(GAME, "initial", SETTINGS, seed=1),
        lambda: controller.callbacks(SETTINGS),
    ),
}


def interrupted_and_resumed(problem, path, checkpoint_every, curve_every):
    """A model whose training broke off in its fifth rollout and went on from its last checkpoint."""
    new, callbacks = PROBLEMS[problem]

    def measured():
        return [
            *callbacks(),
            LearningCurve(GAME, curve_every),
            checkpoints.Checkpoint(path, checkpoint_every),
        ]

    with pytest.raises(KeyboardInterrupt):
        new().learn(96, callback=[*measured(), Interruption(16 * 4 + 8)])
    # Whatever the process does in between must not matter.
    torch.manual_seed(99), random.seed(99), np.random.seed(99)  # noqa: NPY002
    model = checkpoints.load_checkpoint(path)
    assert 0 < model.num_timesteps < 96
    return model.learn(96 - model.num_timesteps, callback=measured(), reset_num_timesteps=False)


def uninterrupted(problem, curve_every):
    new, callbacks = PROBLEMS[problem]
    return new().learn(96, callback=[*callbacks(), LearningCurve(GAME, curve_every)])


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_an_interrupted_training_ends_bit_for_bit_where_an_uninterrupted_one_does(problem, every, tmp_path):
    expected = uninterrupted(problem, 1)
    model = interrupted_and_resumed(problem, tmp_path / "checkpoint.zip", every, 1)
    assert model.num_timesteps == expected.num_timesteps == 96
    for name, value in expected.policy.state_dict().items():
        assert torch.equal(model.policy.state_dict()[name], value), name
    moments = expected.policy.optimizer.state_dict()["state"]
    for key, state in model.policy.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, moments[key][name])
    assert [point["turns"] for point in model.learning_curve] == [16, 32, 48, 64, 80, 96]
    for point, other in zip(model.learning_curve, expected.learning_curve, strict=True):
        assert point == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_the_learning_curve_keeps_its_pace_through_an_interruption(tmp_path):
    model = interrupted_and_resumed("self-play", tmp_path / "checkpoint.zip", 3, 2)
    assert [point["turns"] for point in model.learning_curve] == [32, 64, 96]


def test_a_checkpoint_is_an_agent_too(tmp_path):
    path = tmp_path / "checkpoint.zip"
    model = self_play.new_learner(GAME, SETTINGS, seed=0)
    model.learn(48, callback=[*self_play.callbacks(GAME, SETTINGS), checkpoints.Checkpoint(path, 2)])
    played = mesa_env.rollout(GAME, agents.load(path), 0.8)
    assert played.goals.shape == (5,)
    assert model.interrupted is None
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize(("every", "expected"), [(1, [16, 32, 48, 64, 80]), (2, [32, 64]), (6, [])])
def test_checkpoints_come_before_every_so_many_rollouts_but_the_first(every, expected, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoints, "save_checkpoint", lambda model, _: saved.append(model.num_timesteps))
    model = self_play.new_learner(GAME, SETTINGS, seed=0)
    model.learn(
        96, callback=[*self_play.callbacks(GAME, SETTINGS), checkpoints.Checkpoint(tmp_path / "c.zip", every)]
    )
    assert saved == expected


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TD3, DDPG, TQC, CrossQ])
def test_models_that_stable_baselines3_saved_are_agents_too(algorithm, tmp_path):
    environment = gymnasium.make("mesa_env/BestResponse-v0", game=GAME)
    model = algorithm("MlpPolicy", environment, device="cpu", seed=0)
    model.save(tmp_path / "model.zip")
    loaded = agents.load(tmp_path / "model.zip")
    observations = np.stack([environment.observation_space.sample() for _ in range(5)])
    expected, _ = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], expected)
