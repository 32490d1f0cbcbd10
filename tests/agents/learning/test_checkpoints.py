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
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3

import agents
import mesa_env
from agents.learning import checkpoints, self_play
from agents.learning.callbacks import Checkpoint, LearningCurve
from agents.learning.games import decisions_alike
from agents.learning.settings import PPOSettings
from tests.agents.learning.learners import SHORT, SIGNAL, SIX_ROLLOUTS, SMALL, Interruption, tiny, train


@pytest.fixture(scope="module")
def model():
    return train(SMALL, SIX_ROLLOUTS)


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
    played = [mesa_env.rollout(SMALL, agent, [0.8, -0.3]) for agent in (model, agents.load(saved))]
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
def test_anything_but_a_model_is_refused_by_its_path(kind, load, saved, tmp_path):
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


def test_a_write_replaces_the_file(tmp_path):
    path = tmp_path / "file"
    for content in (b"old", b"new, and longer", b""):
        checkpoints.write_atomically(path, content)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_midway_leaves_the_old_file_and_nothing_else(failing, tmp_path, monkeypatch):
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
    for save, points in ((checkpoints.save, []), (checkpoints.save_checkpoint, [[]])):
        with pytest.raises(OSError, match="disk full"):
            save(model, saved, *points)
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]


# -- Checkpoints ------------------------------------------------------------------------------------------


CASES = {
    "self-play": (SMALL, SIX_ROLLOUTS, "self-play"),
    "controller": (SMALL, SIX_ROLLOUTS, "initial"),
    "groups": (SHORT["Misconception"], tiny(SHORT["Misconception"], 6, games=8, group_size=4), "self-play"),
    "choices": (SHORT["GoalTraining"], tiny(SHORT["GoalTraining"], 6), "self-play"),
    "memory": (SIGNAL, tiny(SIGNAL, 6, games=8, group_size=4, memory=True), "self-play"),
}


def start(case):
    """A new model, and a function that makes the callbacks its problem needs."""
    game, settings, problem = CASES[case]
    model = self_play.new_learner(game, settings, seed=1, problem=problem)
    return model, lambda: self_play.training_callbacks(game, settings, problem)


def interrupt_and_resume(case, path, checkpoint_every, curve_every):
    """A model whose training was interrupted in its fifth rollout and resumed, and its learning curve."""
    model, callbacks = start(case)
    game, turns, rollout = CASES[case][0], CASES[case][1].turns, CASES[case][1].turns // 6

    def measured(points=()):
        curve = LearningCurve(game, curve_every * rollout, points=points)
        return curve, [*callbacks(), curve, Checkpoint(path, checkpoint_every, curve)]

    with pytest.raises(KeyboardInterrupt):
        model.learn(turns, callback=[*measured()[1], Interruption(rollout * 4 + rollout // 2)])
    # Whatever the process does in between must not matter.
    torch.manual_seed(99), random.seed(99), np.random.seed(99)  # noqa: NPY002
    model, points, _ = checkpoints.load_checkpoint(path)
    assert model.num_timesteps == 4 // checkpoint_every * checkpoint_every * rollout
    curve, resumed = measured(points)
    return model.learn(turns - model.num_timesteps, callback=resumed, reset_num_timesteps=False), curve


@pytest.mark.parametrize(
    ("case", "every"),
    [(case, every) for case in ("self-play", "controller") for every in (1, 2, 3, 4)]
    + [(case, every) for case in ("groups", "choices", "memory") for every in (1, 2)],
)
def test_an_interrupted_training_ends_bit_for_bit_where_an_uninterrupted_one_does(case, every, tmp_path):
    expected, callbacks = start(case)
    game, turns = CASES[case][0], CASES[case][1].turns
    pace = 1 if decisions_alike(game) else 3  # simulation is slow
    uninterrupted = LearningCurve(game, pace * turns // 6)
    expected.learn(turns, callback=[*callbacks(), uninterrupted])
    model, curve = interrupt_and_resume(case, tmp_path / "checkpoint.zip", every, pace)
    assert type(model) is type(expected)
    assert model.num_timesteps == expected.num_timesteps == turns
    for name, value in expected.policy.state_dict().items():
        assert torch.equal(model.policy.state_dict()[name], value), name
    moments = expected.policy.optimizer.state_dict()["state"]
    for key, state in model.policy.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, moments[key][name])
    assert curve.column("turns") == [turns // 6 * rollouts for rollouts in range(pace, 7, pace)]
    for point, other in zip(curve.points, uninterrupted.points, strict=True):
        assert point == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_the_learning_curve_keeps_its_pace_through_an_interruption(tmp_path):
    _, curve = interrupt_and_resume("self-play", tmp_path / "checkpoint.zip", 3, 2)
    assert curve.column("turns") == [32, 64, 96]


def test_a_checkpoint_is_an_agent_too(tmp_path):
    path = tmp_path / "checkpoint.zip"
    train(SMALL, PPOSettings(turns=48, games=4, hidden=8), callbacks=[Checkpoint(path, 2)])
    played = mesa_env.rollout(SMALL, agents.load(path), 0.8)
    assert played.goals.shape == (5,)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None


ORIGIN = {
    "game": {"rules": "Game", "discount": 1.0},
    "settings": {"hidden": 8},
    "seed": 1,
    "problem": "initial",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint that names its training."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.zip"
    train(SMALL, PPOSettings(turns=48, games=4, hidden=8), callbacks=[Checkpoint(path, 2, origin=ORIGIN)])
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 3}, "its seed was 1 and is now 3"),
        ({"game": {"rules": "Misconception"}}, "its game.rules was Game and is now Misconception"),
        ({"game": ORIGIN["game"] | {"discount": 0.5}}, "its game.discount was 1.0 and is now 0.5"),
        ({"settings": {"hidden": 64}}, "its settings.hidden was 8 and is now 64"),
        ({"problem": "self-play"}, "its problem was initial and is now self-play"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_before_it_is_unpickled(
    change, words, checkpoint, monkeypatch
):
    assert checkpoints.load_checkpoint(checkpoint, ORIGIN).model.num_timesteps == 32
    monkeypatch.setattr(checkpoints, "load", lambda _: pytest.fail("its pickles were read"))
    with pytest.raises(ValueError, match=f"^{re.escape(str(checkpoint))} must be of this training; {words}$"):
        checkpoints.load_checkpoint(checkpoint, ORIGIN | change)


def test_a_checkpoint_that_names_no_training_is_refused(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.zip"
    with zipfile.ZipFile(checkpoint) as whole, zipfile.ZipFile(path, "w") as archive:
        for part in set(whole.namelist()) - {"origin.json"}:
            archive.writestr(part, whole.read(part))
    with pytest.raises(ValueError, match="must be of this training; its game was None"):
        checkpoints.load_checkpoint(path, ORIGIN)


def test_no_flipped_bit_of_a_checkpoint_resumes_another_training(checkpoint, tmp_path):
    content, generator = checkpoint.read_bytes(), random.Random(0)
    path, refusals = tmp_path / "checkpoint.zip", []
    expected = checkpoints.load_checkpoint(checkpoint, ORIGIN).model.policy.state_dict()
    for _ in range(60):
        place, damaged = generator.randrange(8 * len(content)), bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = checkpoints.load_checkpoint(path, ORIGIN).model.policy.state_dict()
        except ValueError as error:
            refusals.append(str(error))
        else:
            assert all(torch.equal(found[name], value) for name, value in expected.items()), place
    assert len(refusals) > 20
    assert not any("\n" in refusal for refusal in refusals)


# -- Whose models they are --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "algorithm"), [("PPO", PPO), ("A2C", A2C), ("DQN", None), (None, PPO)], ids=str
)
def test_a_model_is_of_the_algorithm_that_its_file_names(name, algorithm, saved, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(saved) as whole, zipfile.ZipFile(path, "w") as archive:
        assert whole.read("algorithm.txt") == b"PPO"
        for part in set(whole.namelist()) - {"algorithm.txt"}:
            archive.writestr(part, whole.read(part))
        if name is not None:
            archive.writestr("algorithm.txt", name)
    if algorithm is not None:
        assert type(agents.load(path)) is algorithm
        return
    with pytest.raises(ValueError, match="it holds a model of DQN, not of PPO, RecurrentPPO, A2C"):
        agents.load(path)


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TD3, DDPG, TQC, CrossQ])
def test_models_that_stable_baselines3_saved_are_agents_too(algorithm, tmp_path):
    environment = gymnasium.make("mesa_env/BestResponse-v0", game=SMALL)
    model = algorithm("MlpPolicy", environment, device="cpu", seed=0)
    model.save(tmp_path / "model.zip")
    loaded = agents.load(tmp_path / "model.zip")
    assert type(loaded) is algorithm
    observations = np.stack([environment.observation_space.sample() for _ in range(5)])
    expected, _ = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], expected)


class Flavored(A2C):
    """A user's own algorithm, which a file of A2C's attributes and one more comes from."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.flavor = 1


class Discrete(gymnasium.Env):
    """An environment whose actions are counted, as some algorithms want it."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)


@pytest.mark.parametrize(
    "algorithm", [TRPO, ARS, Flavored, DQN, QRDQN, MaskablePPO], ids=lambda algorithm: algorithm.__name__
)
def test_models_of_algorithms_that_are_not_known_are_refused(algorithm, tmp_path):
    counted = algorithm in (DQN, QRDQN, MaskablePPO)
    environment = Discrete() if counted else gymnasium.make("mesa_env/BestResponse-v0", game=SMALL)
    algorithm("MlpPolicy", environment, device="cpu", seed=0).save(tmp_path / "model.zip")
    with pytest.raises(
        ValueError, match=r"^[^\n]*model.zip must be [^\n]* it is not of PPO, RecurrentPPO, A2C"
    ):
        agents.load(tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (SAC, {"ent_coef": 0.1}),
        (TQC, {"ent_coef": 0.1}),
        (PPO, {"clip_range_vf": 0.2, "use_sde": True}),
        (A2C, {"use_rms_prop": False}),
        (DDPG, {"policy_kwargs": {"n_critics": 2}}),
        (TD3, {"policy_delay": 1}),
        (TD3, {"target_noise_clip": 0.0}),
    ],
)
def test_options_do_not_hide_of_which_algorithm_a_model_is(algorithm, options, tmp_path):
    environment = gymnasium.make("mesa_env/BestResponse-v0", game=SMALL)
    algorithm("MlpPolicy", environment, device="cpu", **options).save(tmp_path / "model.zip")
    assert type(agents.load(tmp_path / "model.zip")) is algorithm


def test_a_recurrent_model_is_not_taken_for_another(tmp_path):
    environment = gymnasium.make("mesa_env/BestResponse-v0", game=SMALL)
    RecurrentPPO("MlpLstmPolicy", environment, device="cpu").save(tmp_path / "model.zip")
    assert type(agents.load(tmp_path / "model.zip")) is RecurrentPPO
