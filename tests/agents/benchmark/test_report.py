"""The report of a sweep: what it says of rows that are made up here, and what it refuses."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

import mesa_env
from agents.benchmark.store import REDONE, SCHEMA, write_row
from agents.benchmark.tables import number
from mesa_env import Game, Misconception, train_then_deploy
from scripts.report import Arguments, main

LEARNERS = {"ppo": 0.004, "a2c": 0.3, "sac": 0.02, "td3": 0.06, "tqc": 0.03, "crossq": 5.0}
"""Algorithms of the made-up sweep, with the NashConv that they come to."""


def described(game):
    """A game as a row has it."""
    parameters = dataclasses.asdict(game) | {"learning_rates": game.learning_rates.tolist()}
    return json.dumps({"rules": type(game).__name__, **parameters})


def made_up_row(label, game, algorithm, seed, turns, reaches, failed=False):
    """A row of a sweep with plausible numbers: all of them made up, none of them trained."""
    generator = np.random.default_rng([seed, len(label), *algorithm.encode()])
    times = np.unique(np.geomspace(turns / 50, turns, 20).astype(np.int64))
    end = reaches * np.exp(0.5 * generator.normal())
    curve = end * (times[-1] / times) ** 1.5 * np.exp(0.2 * generator.normal(size=len(times)))
    curve[-1] = end
    episodes = np.arange(game.episodes)
    last = max(int(game.training.sum()), 1)
    near = np.exp(-np.abs(episodes - last) / 5) + 0.02
    excess = np.where(game.training, 0.02, -0.05) + 0.02 * generator.normal(size=game.episodes)
    exploitability = end / 50 * near * np.exp(0.5 * generator.normal(size=game.episodes))
    seconds = turns / (20_000 if algorithm in ("ppo", "a2c") else 500) * (1 + 0.1 * generator.random())
    row = {
        "run_id": f"{label}/{algorithm}/{turns}/{seed}".replace(":", "."),
        "game": label,
        "algorithm": algorithm,
        "turns": turns,
        "seed": seed,
        "status": "finished",
        "traceback": "",
        "game_json": described(game),
        "parameters_json": json.dumps({"hidden": 64, "learning_rate": 0.0003}),
        "seconds": seconds,
        **dict.fromkeys(mesa_env.METRICS, 0.5),
        "nash_conv": end,
        "relative_exploitability": float(exploitability.mean()),
        "retention": 0.9 - end / 10 + 0.003 * generator.normal(),
        "oracle_retention": 0.904 if not game.training.all() else 0.102,
        "oracle_nash_conv": 1e-13,
        "weights": f"{generator.integers(2**60):064x}",
        "curve_turns": times.tolist(),
        "curve_seconds": (times / turns * seconds).tolist(),
        "curve_nash_conv": curve.tolist(),
        "curve_relative_exploitability": (curve / 100).tolist(),
        "curve_retention": np.full(len(times), 0.9).tolist(),
        "episode_exploitability": exploitability.tolist(),
        "episode_excess": excess.tolist(),
        "git_revision": "0123456789abcdef",
        "versions_json": json.dumps({"numpy": "2.4.6", "torch": "2.8.0"}),
        "processor": "AMD EPYC",
        "started": f"2026-01-01T00:00:{seed:02d}+00:00",
    }
    if failed:
        error = "Traceback (most recent call last):\n  …\nValueError: weights | are not finite\n"
        row |= {"status": "failed", "traceback": error, "weights": ""}
        row |= {name: np.nan for name, value in row.items() if isinstance(value, float)}
        row |= {name: None for name, value in row.items() if isinstance(value, list)}
    return row


def made_up_rows(games=None, learners=LEARNERS, seeds=range(10), failures=()):
    """The rows of a sweep; `failures` are (game, algorithm, seed)."""
    games = games or {
        "one": Game(initial_goal=(-1.0, 1.0)),
        "two": Game(train_then_deploy(100, 0), initial_goal=(-1.0, 1.0)),
        "misconception": Misconception(initial_belief=(-1.0, 1.0)),
    }
    budgets = {"ppo": 1_500_000, "a2c": 1_500_000}
    return pd.DataFrame(
        [
            made_up_row(
                *(label, game, algorithm, seed, budgets.get(algorithm, 60_000), reaches),
                failed=(label, algorithm, seed) in failures,
            )
            for label, game in games.items()
            for algorithm, reaches in learners.items()
            for seed in seeds
        ]
    )


SMALL = {"tiny": Game(train_then_deploy(2, 3), initial_goal=(-1.0, 1.0))}
FEW = {"ppo": 0.004, "td3": 0.5}


def swept(folder, rows):
    """The folder of a sweep that left these rows."""
    for row in rows.to_dict("records"):
        write_row(folder / "data" / f"{row['run_id']}.parquet", row, SCHEMA)
    return folder


def reported(tmp_path, rows, **arguments):
    main(Arguments(swept(tmp_path / "sweep", rows), tmp_path / "out", **arguments))
    return (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")


def test_a_report_says_what_its_rows_say(tmp_path, capsys):
    rows = made_up_rows(SMALL, FEW, range(4), failures={("tiny", "td3", 2)})
    text = reported(tmp_path, rows)
    nash_conv = rows[(rows["algorithm"] == "ppo")]["nash_conv"]
    assert f"the best median NashConv is {number(nash_conv.median())}, by ppo" in text
    assert "ppo with a median ≤ 0.01" in text
    assert "4 (1 failed)" in text
    assert r"`tiny/td3/60000/2`: ValueError: weights \| are not finite" in text
    assert "No run of this sweep has been redone" in text
    assert "With fewer than 10 seeds" in text
    assert mesa_env.METRICS["retention"] in text
    folder = tmp_path / "out" / "benchmark"
    for link in re.findall(r"\((benchmark/[^)]+)\)", text):
        assert (tmp_path / "out" / link).stat().st_size > 0, link
    runs = pd.read_csv(folder / "runs.csv")
    assert len(runs) == 8
    assert runs["nash_conv"].dropna().tolist() == rows["nash_conv"].dropna().tolist()
    assert len(pd.read_csv(folder / "episodes.csv")) == 7 * 5
    assert len(pd.read_csv(folder / "curves.csv")) == sum(
        len(curve) for curve in rows["curve_turns"] if curve is not None
    )
    assert "interquartile means" in capsys.readouterr().out


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = made_up_rows(SMALL, FEW, range(3))
    written = []
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        main(Arguments(swept(tmp_path / "sweep", rows), tmp_path / place))
        files = sorted(path for path in (tmp_path / place).rglob("*") if path.is_file())
        written.append({str(path.relative_to(tmp_path / place)): path.read_bytes() for path in files})
    assert written[0].keys() == written[1].keys()
    for name, content in written[0].items():
        assert content == written[1][name] or name == "benchmark.md", name  # which names its folder


def test_one_run_of_one_learner_makes_a_report(tmp_path):
    text = reported(tmp_path, made_up_rows(SMALL, {"mine:own": 0.2}, range(1)))
    assert "mine:own" in text
    assert "none with a median ≤ 0.01" in text


def test_notes_and_what_was_redone_are_told(tmp_path):
    rows = made_up_rows(SMALL, FEW, range(3))
    redone = [
        {"run_id": f"tiny/{name}/1/0", "algorithm": name, "game": "tiny", "same_weights": same}
        | {"same_evaluation": True, "same_versions": True}
        for name, same in (("ppo", True), ("td3", False))
    ]
    for row in redone:
        write_row(tmp_path / "sweep" / "redone" / f"{row['run_id']}.parquet", row, REDONE)
    notes = tmp_path / "notes.md"
    notes.write_text("Because of the weather.")
    text = reported(tmp_path, rows, notes=notes)
    assert "ppo: of 1 redone, 1 gave the same weights, bit for bit." in text
    assert "td3: of 1 redone, 1 the same evaluation from other weights." in text
    assert "## Why the others stay above\n\nBecause of the weather." in text


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "must be the folder of a sweep"),
        (lambda folder: next(folder.rglob("*.parquet")).write_bytes(b"PAR1"), ".parquet"),
        (lambda folder: [path.unlink() for path in folder.rglob("*.parquet")], "no rows yet"),
    ],
)
def test_what_is_no_sweep_is_refused(spoil, said, tmp_path, capsys):
    folder = swept(tmp_path / "sweep", made_up_rows(SMALL, FEW, range(1)))
    spoil(folder)
    with pytest.raises(SystemExit) as exit_:
        main(Arguments(folder, tmp_path / "out"))
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_sweep_whose_runs_all_failed_is_refused(tmp_path, capsys):
    rows = made_up_rows(SMALL, {"ppo": 1.0}, range(2), failures={("tiny", "ppo", 0), ("tiny", "ppo", 1)})
    with pytest.raises(SystemExit):
        reported(tmp_path, rows)
    assert "all 2 of the sweep failed, the first with 'ValueError: weights | are not finite'" in (
        capsys.readouterr().err
    )


def test_notes_that_are_not_there_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        reported(tmp_path, made_up_rows(SMALL, FEW, range(1)), notes=tmp_path / "none.md")
    assert "notes must be a Markdown file" in capsys.readouterr().err
