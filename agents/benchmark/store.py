"""What is read back of a sweep: its rows, each a Parquet file, and the folders of its runs."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from agents.atomic_files import write_atomically
from agents.benchmark.rows import COLUMNS
from agents.benchmark.run import Run

_ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    list[int]: pa.list_(pa.int64()),
    list[float]: pa.list_(pa.float64()),
}


def _schema(columns: Mapping[str, Any]) -> pa.Schema:
    return pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in columns.items()])


SCHEMA = _schema(COLUMNS)
"""Columns of the data set."""

REDONE = _schema(
    {
        **dict.fromkeys(("run_id", "algorithm", "game"), str),
        **dict.fromkeys(("same_weights", "same_evaluation", "same_versions"), bool),
    }
)
"""Columns of the comparisons that scripts/redo.py adds to a sweep."""


def read_rows(out: Path, folder: str = "data", schema: pa.Schema = SCHEMA) -> pd.DataFrame:
    """Every row of a sweep's data set, ordered by game, algorithm, turns and seed.

    Raises:
        ValueError: If there is no sweep, or one of its files is damaged.
    """
    if not (out / "data").is_dir():
        raise ValueError(f"{out} must be the folder of a sweep with at least one recorded run; it is not")
    tables = [read_row(path, schema) for path in (out / folder).rglob("[!.]*.parquet")]
    rows: pd.DataFrame = pa.concat_tables([schema.empty_table(), *tables]).to_pandas()
    order = [name for name in ("game", "algorithm", "turns", "seed", "run_id") if name in rows]
    return rows.sort_values(order, ignore_index=True)


def summarize_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per game, algorithm and number of turns: counts of runs and failures, medians of the rest."""
    rows = rows.assign(failed=rows["status"] == "failed")
    return rows.groupby(["game", "algorithm", "turns"], as_index=False).agg(
        runs=("run_id", "size"),
        failed=("failed", "sum"),
        nash_conv=("nash_conv", "median"),
        seconds=("seconds", "median"),
    )


def read_row(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file of one row.

    Raises:
        ValueError: If the file holds anything else.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
    else:
        if table.schema.equals(schema) and len(table) == 1:
            return table
        reason = "it has other columns" if len(table) == 1 else f"it has {len(table)} rows"
    raise ValueError(
        f"{path} must be a Parquet file of one row, and is damaged: {reason}; delete it, and sweep.py "
        "--resume (or redo.py) writes it again"
    )


def write_row(path: Path, row: Mapping[str, Any], schema: pa.Schema) -> None:
    """Write a Parquet file of one row, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=schema), content)
    write_atomically(path, content.getvalue())


def read_folder(folder: Path) -> tuple[Run, dict[str, Any]]:
    """The run that a run's folder records, and its row.

    Raises:
        ValueError: If the folder is damaged, or is not that of a run.
    """
    try:
        result = json.loads((folder / "result.json").read_text())
        row, digests = result["row"], result["sha256"]
        for name, digest in digests.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} has changed since it was written")
        run = Run(**json.loads((folder / "config.json").read_text()))
        if set(row) != set(COLUMNS):
            raise ValueError("result.json has other columns than a row")
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"{Path(error.filename).name} cannot be read" if isinstance(error, OSError) else error
        raise ValueError(
            f"{folder} must be the complete folder of a run, and is damaged: {reason}; delete it, and "
            "sweep.py --resume runs it again"
        ) from error
    return run, row
