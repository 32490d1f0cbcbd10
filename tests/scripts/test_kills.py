"""Runs that are killed at any point: called again they complete, with the files of an uninterrupted run."""

import json
import shutil

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import agents
from agents import atomic_files
from agents.learning import neural
from agents.learning.settings import NeuralSettings, PPOSettings
from scripts import comparison, demo, train, train_neural
from scripts.game_arguments import GameArguments
from tests.conftest import refused

GAME = GameArguments(train=3, deploy=5)
NEURAL = GameArguments(rules="Decoupling", train=2, deploy=2, decoupling=10.0)
TRAIN = train.Arguments(game=GAME, settings=PPOSettings(turns=8 * 8 * 30, games=8, hidden=8))
NETWORK = train_neural.Arguments(game=NEURAL, settings=NeuralSettings(iterations=3, games=2, hidden=(4,)))


def changed(arguments, **changes):
    return type(arguments)(**vars(arguments) | changes)


def weights(path):
    model = neural.load(path) if path.suffix == ".pt" else agents.load(path).policy
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


def logged(out):
    """Every scalar in the files of a TensorBoard log but the speed, those that it would not show included."""
    events = [
        event
        for path in sorted(out.glob("tensorboard/*/events*"))
        for event in EventFileLoader(str(path)).Load()
    ]
    values = [
        (value.tag, event.step, value.tensor.float_val[:])
        for event in events
        for value in event.summary.value
    ]
    return [entry for entry in values if entry[0] != "time/fps"]


def outcome(out):
    """What a run has left, apart from when and how it was called."""
    found = {path.name for path in out.iterdir() if path.name != ".lock"}
    tables = {path.name: path.read_text() for path in out.glob("*.csv")}
    config = json.loads((out / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in ("out", "resume")}
    game = (out / "game.json").read_text()
    model = weights(out / ("policy.pt" if (out / "policy.pt").exists() else "model.zip"))
    return found, tables, config, game, model, (out / "figure.png").read_bytes(), logged(out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folders of uninterrupted runs, by command."""
    folder = tmp_path_factory.mktemp("whole")
    train.main(changed(TRAIN, out=folder / "train"))
    train_neural.main(changed(NETWORK, out=folder / "train_neural"))
    return {name: folder / name for name in ("train", "train_neural")}


class Killed(BaseException):
    """Ends a command where kill −9 would: nothing more is written."""


@pytest.fixture
def kill(monkeypatch):
    """Ends the command at the writing of a file, by name, when it is recorded, until `kill.off()`."""
    replace = atomic_files._replace

    def at(name):
        def kill_or_replace(path, content):
            if path.name == name:
                raise Killed
            replace(path, content)

        monkeypatch.setattr(atomic_files, "_replace", kill_or_replace)

    at.off = monkeypatch.undo
    return at


FILES = ["environment.json", "game.json", "learning_curve.csv", "model.zip", "evaluation.csv", "figure.png"]


@pytest.mark.parametrize("file", FILES)
def test_a_training_killed_before_any_of_its_files_completes(file, whole, tmp_path, kill):
    out = tmp_path / "run"
    kill(file)
    with pytest.raises(Killed):
        train.main(changed(TRAIN, out=out))
    kill.off()
    assert not comparison.is_finished(out)
    train.main(changed(TRAIN, out=out, resume=True))
    assert outcome(out) == outcome(whole["train"])


@pytest.mark.parametrize(
    "file", ["environment.json", "game.json", "policy.pt", "evaluation.csv", "figure.png"]
)
@pytest.mark.parametrize("before", [None, "the same", "another"])
def test_a_neural_training_killed_before_any_of_its_files_completes(file, before, whole, tmp_path, kill):
    out = tmp_path / "run"
    if before:
        train_neural.main(changed(NETWORK, out=out, seed=7 if before == "another" else 0))
    kill(file)
    with pytest.raises(Killed):
        train_neural.main(changed(NETWORK, out=out))
    kill.off()
    train_neural.main(changed(NETWORK, out=out))
    assert outcome(out) == outcome(whole["train_neural"])


@pytest.mark.parametrize(("command", "file"), [("train", "model.zip"), ("train_neural", "policy.pt")])
def test_what_was_trained_is_evaluated_without_being_trained_again(
    command, file, whole, tmp_path, monkeypatch
):
    out = shutil.copytree(whole[command], tmp_path / "run")
    for name in ("evaluation.csv", "figure.png"):
        (out / name).unlink()
    monkeypatch.setattr("agents.learning.training.Training.run", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("agents.learning.neural.train_policy", lambda *_: pytest.fail("trained"))
    before = (out / file).read_bytes()
    if command == "train":
        train.main(changed(TRAIN, out=out, resume=True))
    else:
        train_neural.main(changed(NETWORK, out=out))
    assert (out / file).read_bytes() == before
    for name in ("evaluation.csv", "figure.png"):
        assert (out / name).read_bytes() == (whole[command] / name).read_bytes()


def test_a_damaged_model_is_refused_before_the_evaluation(whole, tmp_path, capsys):
    out = shutil.copytree(whole["train"], tmp_path / "run")
    (out / "figure.png").unlink()
    (out / "model.zip").write_bytes((out / "model.zip").read_bytes()[:-40])
    message = refused(capsys, train.main, changed(TRAIN, out=out, resume=True))
    assert "model.zip is not as this program wrote it" in message


def test_a_demo_killed_before_its_figure_is_evaluated_again(tmp_path, kill):
    arguments = demo.Arguments(out=tmp_path / "run", turns=6400)
    kill("figure.png")
    with pytest.raises(Killed):
        demo.main(arguments)
    kill.off()
    table = (tmp_path / "run" / "comparison.csv").read_text()
    before = weights(tmp_path / "run" / "model.zip")
    demo.main(arguments)
    assert (tmp_path / "run" / "comparison.csv").read_text() == table
    assert weights(tmp_path / "run" / "model.zip") == before
    assert (tmp_path / "run" / "figure.png").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 3}, "its seed was 0 and is now 3"),
        ({"game": GameArguments(train=2, deploy=5)}, "its game.learning_rates was "),
        ({"game": GameArguments(rules="Misconception", train=3, deploy=5)}, "its game.rules was "),
        ({"problem": "initial"}, "its problem was self-play and is now initial"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(changes, words, tmp_path, capsys, kill):
    (tmp_path / "mine").mkdir()
    for out, given in ((tmp_path / "other", {}), (tmp_path / "mine", changes)):
        kill("learning_curve.csv")
        with pytest.raises(Killed):
            train.main(changed(TRAIN, out=out, **given))
        kill.off()
    checkpoint = (tmp_path / "other" / "checkpoint.zip").read_bytes()
    atomic_files.write_atomically(tmp_path / "mine" / "checkpoint.zip", checkpoint)
    capsys.readouterr()
    message = refused(capsys, train.main, changed(TRAIN, out=tmp_path / "mine", resume=True, **changes))
    assert f"checkpoint.zip must be of this training; {words}" in message
    assert not (tmp_path / "mine" / "model.zip").exists()
