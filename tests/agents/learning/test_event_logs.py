"""TensorBoard's logs: one curve, whatever was killed when."""

import pytest
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from agents.atomic_files import write_record
from agents.learning import training
from agents.learning.event_logs import open_log
from agents.learning.training import Training
from tests.agents.learning.learners import SIX_ROLLOUTS, SMALL, Interruption


def logged(folder):
    """Every scalar that lies in the files of a log, those that TensorBoard would not show included."""
    events = [
        event for path in sorted(folder.rglob("events*")) for event in EventFileLoader(str(path)).Load()
    ]
    return [(value.tag, event.step) for event in events for value in event.summary.value]


def write(folder, steps, value=0.0):
    logger = configure(str(folder), ["tensorboard"])
    for step in steps:
        logger.record("value", value)
        logger.dump(step)
    logger.close()


def test_turns_after_a_checkpoint_are_dropped(tmp_path):
    write(tmp_path / "tensorboard" / "run", [10, 20, 30, 40])
    logger = open_log(tmp_path, "run", 20)
    assert logged(tmp_path) == [("value", 10), ("value", 20)]
    for step in (30, 40, 50):
        logger.record("value", 1.0)
        logger.dump(step)
    logger.close()
    assert [step for _, step in logged(tmp_path)] == [10, 20, 30, 40, 50]
    (run,) = (tmp_path / "tensorboard").iterdir()
    shown = EventAccumulator(str(run)).Reload().Scalars("value")
    assert [(event.step, event.value) for event in shown] == [(10, 0), (20, 0), (30, 1), (40, 1), (50, 1)]


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_record_that_was_half_written_is_dropped(tmp_path, cut):
    write(tmp_path / "tensorboard" / "run", [10, 20])
    (path,) = tmp_path.rglob("events*")
    path.write_bytes(path.read_bytes()[:-cut])
    open_log(tmp_path, "run", 20).close()
    assert logged(tmp_path) == [("value", 10)]


def test_a_training_that_starts_over_leaves_nothing_of_the_first_attempt(tmp_path):
    write(tmp_path / "tensorboard" / "run", [10, 20])
    (tmp_path / "tensorboard" / "run" / "notes").write_text("mine")
    open_log(tmp_path, "run", 0).close()
    assert logged(tmp_path) == []
    assert len(list(tmp_path.rglob("events*"))) == 1
    assert (tmp_path / "tensorboard" / "run" / "notes").read_text() == "mine"


@pytest.mark.parametrize("turns", [0, 15, 40])
def test_in_a_run_folder_only_event_files_that_were_logged_there_are_cut(tmp_path, turns):
    place = tmp_path / "tensorboard" / "run"
    write(place, [10, 20])
    (mine,) = place.iterdir()
    content = mine.read_bytes()
    write_record(tmp_path, {})
    logger = open_log(tmp_path, "run", 0)
    for step in (10, 20, 30):
        logger.record("value", 1.0)
        logger.dump(step)
    logger.close()
    open_log(tmp_path, "run", turns).close()
    assert mine.read_bytes() == content
    mine.unlink()
    assert [step for _, step in logged(tmp_path)] == [step for step in (10, 20, 30) if step <= turns]


@pytest.mark.parametrize("link", ["tensorboard", "tensorboard/run", "tensorboard/run/events.out.tfevents.1"])
def test_links_are_not_followed(tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, [10])
    before = {path: path.read_bytes() for path in elsewhere.iterdir()}
    (tmp_path / "out" / link).parent.mkdir(parents=True)
    target = next(iter(before)) if "events" in link else elsewhere
    (tmp_path / "out" / link).symlink_to(target)
    if "events" in link:
        open_log(tmp_path / "out", "run", 0).close()
    else:
        with pytest.raises(ValueError, match="must hold no symbolic links"):
            open_log(tmp_path / "out", "run", 0)
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_an_interrupted_training_logs_what_an_uninterrupted_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ROLLOUTS", 2)
    Training(SMALL, SIX_ROLLOUTS, 5, folder=tmp_path / "whole").run()
    for turns, resume in ((16 * 1 + 8, False), (16 * 3 + 8, True), (16 * 5 + 8, True)):
        with pytest.raises(KeyboardInterrupt):
            Training(SMALL, SIX_ROLLOUTS, 5, folder=tmp_path / "cut", resume=resume).run(
                [Interruption(turns)]
            )
    Training(SMALL, SIX_ROLLOUTS, 5, folder=tmp_path / "cut", resume=True).run()
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")
    (run,) = (tmp_path / "cut" / "tensorboard").iterdir()
    shown, expected = (
        EventAccumulator(str(tmp_path / name / "tensorboard" / run.name)).Reload()
        for name in ("cut", "whole")
    )
    tags = set(expected.Tags()["scalars"]) - {"time/fps"}
    assert {"train/loss", "game/nash_conv", "self_play/mean_return"} <= tags
    for tag in tags:
        values = [[(event.step, event.value) for event in log.Scalars(tag)] for log in (shown, expected)]
        assert values[0] == values[1], tag
