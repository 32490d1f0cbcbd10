"""Rows of a sweep's data set: their columns, and how a repeated run compares with its record."""

import json

from agents.benchmark.rows import COLUMNS, CURVE, LISTS, Comparison, compare_rows, empty_row
from agents.benchmark.run import execute
from agents.benchmark.run_folder import without_nan
from tests.agents.benchmark.test_run import tiny_run

ROW = without_nan(execute(tiny_run("network")).row)


def test_an_empty_row_has_every_column_and_no_value():
    row = empty_row()
    assert list(row) == list(COLUMNS) == list(ROW)
    assert all(row[name] == [] for name in LISTS)
    assert not any(row.values())
    assert row["nash_conv"] is None


def test_every_quantity_of_a_learning_curve_has_a_column():
    assert CURVE == ("turns", "seconds", "nash_conv", "relative_exploitability", "retention")


def test_columns_that_no_two_runs_share_are_not_compared():
    other = ROW | {"seconds": 1e9, "curve_seconds": [1e9], "started": "then", "processor": "another"}
    assert compare_rows(ROW, other) == Comparison([], True, [])


def test_differences_are_named():
    versions = json.loads(ROW["versions_json"])
    then = ROW | {
        "nash_conv": -1.0,
        "weights": "0" * 64,
        "versions_json": json.dumps(versions | {"torch": "1.0"}),
        "git_revision": "abc",
    }
    changes = [f"torch 1.0 → {versions['torch']}", f"revision abc → {ROW['git_revision']}"]
    assert compare_rows(then, ROW) == Comparison(["nash_conv"], False, changes)
    assert str(Comparison(["nash_conv"], False, changes)) == f"differs in nash_conv ({'; '.join(changes)})"


def test_agents_without_networks_have_no_weights_to_compare():
    row = ROW | {"weights": ""}
    assert compare_rows(row, row) == Comparison([], None, [])
