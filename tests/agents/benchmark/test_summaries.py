"""Summaries of a sweep, of rows that are made up here."""

import json

import numpy as np
import pandas as pd
import pytest

import mesa_env
from agents.benchmark import summaries
from agents.benchmark.summaries import Sweep
from mesa_env import Game, InfiniteHorizon, Misconception, train_then_deploy
from mesa_env.rules.parameters import describe_game

LEARNERS = {"ppo": 0.004, "a2c": 0.3, "sac": 0.02, "td3": 0.06, "tqc": 0.03, "crossq": 5.0}
"""Algorithms of the made-up sweep, with the NashConv that they come to."""


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
        "game_json": json.dumps(describe_game(game)),
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


def made_up_sweep(rows):
    return Sweep.of(rows, pd.DataFrame())


def test_contestants_are_in_the_order_of_the_table_of_algorithms_and_others_follow_by_name():
    sweep = made_up_sweep(made_up_rows(SMALL, {"zoo:b": 1.0, "td3": 1.0, "abc:a": 1.0, "ppo": 1.0}, range(1)))
    assert list(sweep.contestants) == ["ppo", "td3", "abc:a", "zoo:b"]


def test_an_algorithm_with_two_numbers_of_turns_is_two_contestants():
    rows = made_up_rows(SMALL, FEW, range(2))
    more = rows[rows["algorithm"] == "ppo"].assign(turns=64)
    more["run_id"] += "/64"
    sweep = made_up_sweep(pd.concat([rows, more]))
    assert sweep.contestants == {"ppo 64": "ppo", "ppo 1500000": "ppo", "td3": "td3"}


@pytest.mark.parametrize(
    "game", [Game(), InfiniteHorizon(initial_goal=(-1.0, 1.0)), Misconception(initial_belief=(-1.0, 1.0))]
)
def test_games_are_rebuilt_from_their_rows(game):
    assert made_up_sweep(made_up_rows({"it": game}, FEW, range(1))).games == {"it": game}


def test_two_games_cannot_share_a_label():
    rows = made_up_rows(SMALL, FEW, range(1))
    rows.loc[0, "game_json"] = json.dumps(describe_game(Game()))
    with pytest.raises(ValueError, match="'tiny' stands for 2"):
        made_up_sweep(rows)


@pytest.mark.parametrize("text", ["[]", '{"rules": "Chess"}', '{"size": 8}', "not JSON"])
def test_rows_without_a_game_are_refused(text):
    with pytest.raises(ValueError, match="game_json of tiny must describe a game: "):
        made_up_sweep(made_up_rows(SMALL, FEW, range(1)).assign(game_json=text))


def test_a_failed_run_counts_as_infinitely_far_in_medians_and_nowhere_else():
    rows = made_up_rows(SMALL, {"td3": 0.5}, range(3), failures={("tiny", "td3", 0), ("tiny", "td3", 1)})
    row = summaries.summarize(made_up_sweep(rows)).iloc[0]
    assert (row["runs"], row["failed"], row["measured"]) == (3, 2, 1)
    assert row["nash_conv_median"] == np.inf
    assert row["best"] == row["worst"] == row["nash_conv"] == rows["nash_conv"].iloc[2]
    assert np.isnan(row["nash_conv_low"])
    assert row["seconds_to_0.1"] == np.inf


def test_thresholds_are_reached_at_the_first_measurement_at_or_below():
    rows = made_up_rows(SMALL, {"ppo": 0.004}, range(1))
    rows.at[0, "curve_turns"], rows.at[0, "curve_seconds"] = [10, 20, 30], [1.0, 2.0, 3.0]
    rows.at[0, "curve_nash_conv"] = [0.5, 0.1, 0.02]
    rows.at[0, "curve_relative_exploitability"] = rows.at[0, "curve_retention"] = [0.0, 0.0, 0.0]
    row = summaries.summarize(made_up_sweep(rows)).iloc[0]
    assert (row["reached_0.1"], row["turns_to_0.1"], row["seconds_to_0.1"]) == (1, 20, 2)
    assert (row["reached_0.01"], row["turns_to_0.01"]) == (0, np.inf)


def test_the_second_half_begins_at_the_first_measurement_after_half_the_turns():
    rows = made_up_rows(SMALL, {"ppo": 0.004}, range(1))
    rows.at[0, "curve_turns"], rows.at[0, "curve_nash_conv"] = [10, 15, 16, 30], [9.0, 8.0, 4.0, 1.0]
    assert summaries.second_half_factor(rows) == 1 / 8
    failed = made_up_rows(SMALL, FEW, range(1), failures={("tiny", "ppo", 0), ("tiny", "td3", 0)})
    assert np.isnan(summaries.second_half_factor(failed))


def test_raw_tables_hold_every_entry_of_every_list():
    rows = made_up_rows(SMALL, FEW, range(2), failures={("tiny", "td3", 1)})
    sweep = made_up_sweep(rows)
    curves, episodes = summaries.curves_table(sweep), summaries.episodes_table(sweep)
    finished = rows[rows["status"] == "finished"]
    assert curves["curve_nash_conv"].tolist() == np.concatenate(finished["curve_nash_conv"].tolist()).tolist()
    assert episodes["episode_excess"].tolist() == np.concatenate(finished["episode_excess"].tolist()).tolist()
    assert episodes["episode"].tolist() == [*range(5)] * 3
    runs = summaries.runs_table(sweep)
    assert len(runs) == 4
    lists = [name for name in rows if name.startswith(("curve_", "episode_"))]
    assert set(runs.columns) == set(rows.columns) - set(lists)


def test_the_last_line_of_a_traceback_names_the_error():
    assert summaries.last_line("Traceback\n  …\nValueError: why \n") == "ValueError: why"
    assert summaries.last_line("") == "no traceback"
