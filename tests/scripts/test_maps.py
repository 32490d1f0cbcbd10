"""Parameter maps as a command: figures, data and summary, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

import agents
import mesa_env
from mesa_env import Game
from scripts.maps import FIGURES, Arguments, main


def test_named_figures_are_drawn_with_their_data(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    main(Arguments(points=12, out=tmp_path / "out", docs=tmp_path / "docs"))
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert list(summary["figure"]) == list(FIGURES)
    assert "parameter maps" in capsys.readouterr().out
    for name, (x, y) in FIGURES.items():
        picture = (tmp_path / "out" / f"{name}.png").read_bytes()
        assert picture == (tmp_path / "docs" / "maps" / f"{name}.png").read_bytes()
        data = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert data[x].nunique() == data[y].nunique() == 12
        assert len(data) == 144


def test_data_agree_with_the_published_game_and_with_a_rollout(tmp_path):
    main(
        Arguments(
            x="train", y="discount", x_range=(1, 20), y_range=(0.5, 1), points=20, deploy=80, out=tmp_path
        )
    )
    data = pd.read_parquet(tmp_path / "train-discount.parquet")
    post = data[(data["train"] == 20) & (data["discount"] == 1)].iloc[0]
    played = mesa_env.rollout(Game(), agents.make("equilibrium", Game()), 0.8)
    assert post["c_first"] == pytest.approx(0.0311513, abs=1e-7)
    assert post["retention"] == pytest.approx(played.goals[20] / 0.8, rel=1e-6)


def test_counts_of_episodes_are_distinct_whole_numbers(tmp_path):
    main(Arguments(x="train", y="deploy", x_range=(1, 5), y_range=(0, 500), points=30, out=tmp_path))
    data = pd.read_parquet(tmp_path / "train-deploy.parquet")
    assert sorted(data["train"].unique()) == [1, 2, 3, 4, 5]
    deploys = np.sort(data["deploy"].unique())
    assert len(deploys) == 30
    assert (deploys[0], deploys[-1]) == (0, 500)


def test_games_that_are_not_covered_are_counted(tmp_path):
    ranges = {"x_range": (0.001, 10), "y_range": (0.01, 10)}
    main(Arguments(x="regularization", y="learning_rate", **ranges, points=10, out=tmp_path))
    row = pd.read_csv(tmp_path / "summary.csv").iloc[0]
    assert 0 < row["not_covered"] < 100


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"figures": ("train-deplyo",)}, "did you mean 'train-deploy'"),
        ({"figures": ("train-deploy", "train-deploy")}, "comes twice"),
        ({"figures": ()}, "got none"),
        ({"x": "trian", "y": "deploy"}, "did you mean 'train'"),
        ({"x": "train"}, "--x and --y must be given together"),
        ({"x": "train", "y": "train"}, "comes twice"),
        ({"x_range": (1, 2)}, "--x-range must come with --x and --y"),
        ({"x": "train", "y": "deploy", "x_range": (5, 1)}, "ascending order; got 5 1"),
        ({"x": "train", "y": "deploy", "x_range": (1.5, 3)}, "whole number of episodes; got 1.5"),
        ({"x": "discount", "y": "train", "x_range": (0, 1.2)}, "discount"),
        ({"x": "discount", "y": "train", "x_range": (0, float("nan"))}, "discount"),
        ({"x": "discount", "y": "train", "x_range": (0, 1), "x_scale": "log"}, "must begin above 0 on a log"),
        ({"points": 1}, "points must be a whole number in [2, 4000]; got 1"),
        ({"points": 4001}, "got 4001"),
        ({"train": -1}, "train"),
        ({"x": "train", "y": "discount", "x_range": (0, 3), "deploy": 0}, "every game needs an episode"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(given, reason, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(Arguments(**given, out=tmp_path / "out"))
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
