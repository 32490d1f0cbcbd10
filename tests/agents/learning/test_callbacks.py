"""Callbacks: annealed noise and step sizes, learning curves and their clock, and the times of checkpoints."""

import numpy as np
import pandas as pd
import pytest

import mesa_env
from agents.learning import callbacks
from agents.learning.callbacks import CallbackAdapter, Checkpoint, LearningCurve, LinearSchedule
from agents.learning.games import typical_goals
from agents.learning.training import Training
from tests.agents.learning.learners import SHORT, SIX_ROLLOUTS, SMALL, record, tiny, train


@pytest.mark.parametrize("game", [SMALL, SHORT["GoalTraining"]], ids=["deviation", "entropy"])
def test_noise_falls_geometrically_from_the_first_to_the_last(game):
    settings = tiny(game, rollouts=6)
    noises = np.array(record(game, settings).noises)
    assert len(noises) == 6
    assert noises[0] == pytest.approx(settings.first_noise, rel=1e-6)
    assert noises[-1] == pytest.approx(settings.last_noise, rel=1e-5)
    ratios = noises[1:] / noises[:-1]
    assert (ratios < 1).all()
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)


def test_step_size_falls_linearly_to_zero():
    schedule = LinearSchedule(0.02)
    assert [schedule(share) for share in (1, 0.5, 0.25, 0)] == [0.02, 0.01, 0.005, 0]


def test_step_size_rises_from_nearly_zero_where_there_is_a_warmup():
    schedule = LinearSchedule(0.02, warmup=0.5)
    assert [schedule(share) for share in (1, 0.75, 0.5, 0)] == pytest.approx([2e-5, 0.01002, 0.01, 0])


def test_a_progress_callback_is_called_between_updates():
    shown = []
    model = train(SMALL, SIX_ROLLOUTS, callbacks=[CallbackAdapter(lambda *call: shown.append(call))])
    assert shown == [(16 * rollouts, model) for rollouts in range(1, 6)]


@pytest.mark.parametrize(("every", "expected"), [(1, [16, 32, 48, 64, 80]), (2, [32, 64]), (6, [])])
def test_checkpoints_come_before_every_so_many_rollouts_but_the_first(every, expected, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(callbacks, "save_checkpoint", lambda model, *_: saved.append(model.num_timesteps))
    train(SMALL, SIX_ROLLOUTS, callbacks=[Checkpoint(tmp_path / "checkpoint.zip", every)])
    assert saved == expected


class TestLearningCurve:
    def test_holds_what_compare_measures(self):
        curve = LearningCurve(SMALL, every=32)
        train(SMALL, SIX_ROLLOUTS, callbacks=[curve])
        assert curve.column("turns") == [32, 64, 96]
        for point in curve.points:
            assert set(point) == {"turns", *mesa_env.METRICS}
            assert point["nash_conv"] > 0

        training, curve = Training(SMALL, SIX_ROLLOUTS), LearningCurve(SMALL, every=16)
        untrained = mesa_env.compare(SMALL, {"learner": training.model}, typical_goals(SMALL))
        expected = pd.DataFrame(untrained)
        # The first rollout's end comes before its update, so the curve begins with the untrained learner.
        training.run([curve])
        for metric in mesa_env.METRICS:
            assert curve.points[0][metric] == pytest.approx(expected[metric].mean(), nan_ok=True)

    @pytest.fixture
    def measured(self, monkeypatch):
        """Agents that were measured, without the time that this takes."""
        agents = []

        def compare(game, contestants, goals):
            agents.append(contestants["learner"])
            return {metric: [0.0] for metric in mesa_env.METRICS}

        monkeypatch.setattr(callbacks, "compare", compare)
        return agents

    @pytest.mark.parametrize("points", [20, 5])
    def test_is_evenly_spaced_however_often_the_learner_calls(self, measured, points):
        curve = LearningCurve(SMALL, 1000 / points, before=1000)
        for turns in range(1, 1004, 2):
            curve(turns, turns)
        curve.end(1000, {"nash_conv": 0.0})
        assert len(measured) == points - 1
        turns = np.array(curve.column("turns"))
        assert turns[-1] == 1003
        assert np.abs(turns - np.arange(1, points + 1) * 1000 / points).max() <= 3

    def test_clock_excludes_measuring(self, measured, monkeypatch):
        now = [0.0]

        def typical_goals(game):
            now[0] += 100.0

        monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now[0])
        monkeypatch.setattr(callbacks, "typical_goals", typical_goals)
        curve = LearningCurve(SMALL, 2, before=40)
        for turns in range(2, 41, 2):
            now[0] += 1.0
            curve(turns, None)
        assert curve.stop() == 20.0
        assert curve.column("seconds") == [float(k) for k in range(1, 20)]
