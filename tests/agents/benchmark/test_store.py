"""Rows of a sweep's data set: their columns, how they are read back, and how repeated runs compare."""

import json
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.benchmark.run import execute
from agents.benchmark.run_folder import without_nan
from agents.benchmark.store import (
    COLUMNS,
    CURVE,
    LISTS,
    REDONE,
    SCHEMA,
    Comparison,
    compare_rows,
    empty_row,
    read_row,
    read_rows,
    summarize_rows,
    write_row,
)
from agents.benchmark.sweep_folder import read_folder
from tests.agents.benchmark.test_run import tiny_run
from tests.agents.benchmark.test_sweep_folder import FAILED, FINISHED, RUNS, keep_runs

ROW = without_nan(execute(tiny_run("network")).row)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A sweep whose runs have all ended: three have finished and one has failed."""
    out = tmp_path_factory.mktemp("sweeps") / "sweep"
    keep_runs(out, RUNS)
    return out


def test_pandas_reads_the_data_set_as_a_whole(out):
    rows = pd.read_parquet(out / "data")
    assert list(rows.columns) == SCHEMA.names
    assert len(rows) == len(RUNS)


def test_columns_keep_their_types_where_values_are_missing(out):
    rows = read_rows(out).set_index("run_id")
    failed, finished = rows.loc[FAILED[0].id], rows.loc[FINISHED[0].id]
    assert rows["nash_conv"].dtype == np.float64
    assert np.isnan(failed["nash_conv"])
    assert len(failed["curve_turns"]) == 0
    assert finished["curve_turns"].dtype == np.int64
    assert "diverged" in failed["traceback"]


def test_rows_equal_the_results_of_their_runs_bit_for_bit(out):
    rows = read_rows(out).set_index("run_id")
    row = execute(RUNS[0]).row
    assert rows.loc[RUNS[0].id, "nash_conv"] == row["nash_conv"]
    assert rows.loc[RUNS[0].id, "episode_excess"].tolist() == row["episode_excess"]
    assert read_folder(out / "runs" / RUNS[0].id)[1]["nash_conv"] == row["nash_conv"]


def test_rows_are_summarized_by_game_algorithm_and_turns(out):
    summary = summarize_rows(read_rows(out)).set_index("algorithm")
    rows = read_rows(out).set_index("run_id")
    assert summary["runs"].to_dict() == {RUNS[0].algorithm: 2, RUNS[2].algorithm: 1, RUNS[3].algorithm: 1}
    assert summary["failed"].to_dict() == {RUNS[0].algorithm: 0, RUNS[2].algorithm: 0, RUNS[3].algorithm: 1}
    near = [rows.loc[run.id, "nash_conv"] for run in RUNS[:2]]
    assert summary.loc[RUNS[0].algorithm, "nash_conv"] == np.median(near)
    assert np.isnan(summary.loc[RUNS[3].algorithm, "nash_conv"])


def test_other_data_sets_of_a_sweep_are_read_by_their_schema(out):
    assert read_rows(out, "redone", REDONE).empty
    comparison = dict.fromkeys(("same_weights", "same_evaluation", "same_versions"), True)
    row = {"run_id": tiny_run().id, "algorithm": "ppo", "game": "tiny", **comparison}
    write_row(out / "redone" / "tiny" / "0.parquet", row, REDONE)
    assert read_rows(out, "redone", REDONE).to_dict("records") == [row]


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be the folder of a sweep"):
        read_rows(tmp_path)
    with pytest.raises(ValueError, match="must be the complete folder of a run"):
        read_folder(tmp_path)


def test_an_empty_row_has_every_column_and_no_value():
    row = empty_row()
    assert list(row) == list(COLUMNS) == list(ROW)
    assert all(row[name] == [] for name in LISTS)
    assert not any(row.values())
    assert row["nash_conv"] is None


def test_every_quantity_of_a_learning_curve_has_a_column():
    assert CURVE == ["turns", "seconds", "nash_conv", "relative_exploitability", "retention"]


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


def test_no_flipped_bit_of_a_row_is_read_as_another_number(tmp_path):
    path, generator = tmp_path / "row.parquet", random.Random(0)
    write_row(path, ROW, SCHEMA)
    content, written = path.read_bytes(), read_row(path, SCHEMA).to_pylist()
    refusals = []
    for _ in range(300):
        place, damaged = generator.randrange(8 * len(content)), bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert read_row(path, SCHEMA).to_pylist() == written, place
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > 60
    assert not any("\n" in refusal for refusal in refusals)


def test_a_row_that_was_written_again_with_another_number_is_refused(tmp_path):
    path = tmp_path / "row.parquet"
    write_row(path, ROW, SCHEMA)
    digest = pq.read_schema(path).metadata
    pq.write_table(pa.Table.from_pylist([ROW | {"nash_conv": 0.0}], SCHEMA.with_metadata(digest)), path)
    with pytest.raises(ValueError, match="its values have changed since they were written"):
        read_row(path, SCHEMA)


def test_rows_without_a_digest_are_read_as_they_are(tmp_path):
    pq.write_table(pa.Table.from_pylist([ROW], SCHEMA), tmp_path / "row.parquet")
    assert read_row(tmp_path / "row.parquet", SCHEMA).to_pylist() == [ROW]
