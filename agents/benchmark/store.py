"""Rows of a sweep's data set: one per run, with the same columns whether or not the run finished.

Each row is a Parquet file of its own, with a digest by which damage to it is found.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import mesa_env
from agents.atomic_files import check_place, write_atomically

_TEXT, _COUNT, _NUMBER, _NUMBERS = pa.string(), pa.int64(), pa.float64(), pa.list_(pa.float64())

SCHEMA = pa.schema(
    {
        **dict.fromkeys(("run_id", "game", "algorithm"), _TEXT),
        **dict.fromkeys(("turns", "seed"), _COUNT),
        **dict.fromkeys(("status", "traceback", "game_json", "parameters_json"), _TEXT),
        **dict.fromkeys(("seconds", *mesa_env.METRICS, "oracle_retention", "oracle_nash_conv"), _NUMBER),
        "weights": _TEXT,
        "curve_turns": pa.list_(_COUNT),
        **dict.fromkeys(("curve_seconds", "curve_nash_conv"), _NUMBERS),
        **dict.fromkeys(("curve_relative_exploitability", "curve_retention"), _NUMBERS),
        **dict.fromkeys(("episode_exploitability", "episode_excess"), _NUMBERS),
        **dict.fromkeys(("git_revision", "versions_json", "processor", "started"), _TEXT),
    }
)
"""Columns of the data set, with the types of their values."""

REDONE = pa.schema(
    {
        **dict.fromkeys(("run_id", "algorithm", "game"), _TEXT),
        **dict.fromkeys(("same_weights", "same_evaluation", "same_versions"), pa.bool_()),
    }
)
"""Columns of the comparisons that scripts.redo adds to a sweep."""


_DIGEST = b"sha256"  # a key of the file's metadata

COLUMNS: list[str] = SCHEMA.names
"""Every column of a row, in order."""

LISTS = [field.name for field in SCHEMA if pa.types.is_list(field.type)]
"""Columns that hold a list: a learning curve, or one value per episode."""

CURVE = [name.removeprefix("curve_") for name in LISTS if name.startswith("curve_")]
"""Quantities of a learning curve, each of which has a column of its own."""

IRREPRODUCIBLE = ("seconds", "curve_seconds", "started", "processor")
"""Columns that differ whenever a run is repeated."""


def empty_row() -> dict[str, Any]:
    """A row without values: "" for text, None for numbers, [] for lists."""
    return {
        field.name: [] if field.name in LISTS else "" if pa.types.is_string(field.type) else None
        for field in SCHEMA
    }


class Comparison(NamedTuple):
    """How a repeated run compares with its record."""

    differing: list[str]  # columns of the evaluation
    same_weights: bool | None  # None if there are no weights
    versions: list[str]  # those that have changed, as "package then → now"

    def __str__(self) -> str:
        """One line."""
        if self.differing:
            verdict = f"differs in {', '.join(self.differing)}"
        elif self.same_weights is None:
            verdict = "same evaluation, no weights"
        else:
            verdict = "same weights, bit for bit" if self.same_weights else "same evaluation, other weights"
        return verdict + (f" ({'; '.join(self.versions)})" if self.versions else "")


def compare_rows(then: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Compare two rows of one run; versions and revision may differ, and are compared apart."""
    ignored = (*IRREPRODUCIBLE, "git_revision", "versions_json", "weights")
    differing = [name for name in COLUMNS if name not in ignored and then[name] != now[name]]
    before, after = (
        json.loads(row["versions_json"]) | {"revision": row["git_revision"]} for row in (then, now)
    )
    versions = [
        f"{package} {before.get(package)} → {after.get(package)}"
        for package in before | after
        if before.get(package) != after.get(package)
    ]
    same = then["weights"] == now["weights"]
    return Comparison(differing, same if then["weights"] or now["weights"] else None, versions)


class RedoneFile(NamedTuple):
    """Where a sweep keeps how one of its runs compares."""

    out: Path  # the sweep's folder
    file: Path


def redone_file(folder: Path, row: Mapping[str, Any]) -> RedoneFile | None:
    """Where the sweep that a run's folder lies in keeps how the run compares; None if it was moved out of it.

    Raises:
        ValueError: If a comparison cannot be written there.
    """
    for out in folder.resolve().parents:
        if out / "runs" / row["run_id"] == folder.resolve():
            name = f"redone/{row['run_id']}.parquet"
            check_place(out, name)
            check_row_place(out / name, REDONE)
            return RedoneFile(out, out / name)
    return None


def write_comparison(path: Path, row: Mapping[str, Any], comparison: Comparison) -> None:
    """Write how a run compares to its file in the sweep."""
    redone = {name: row[name] for name in ("run_id", "algorithm", "game")} | {
        "same_weights": bool(comparison.same_weights),
        "same_evaluation": not comparison.differing,
        "same_versions": not comparison.versions,
    }
    write_row(path, redone, REDONE)


def read_rows(out: Path, folder: str = "data", schema: pa.Schema = SCHEMA) -> pd.DataFrame:
    """Every row of a sweep's data set, by game, algorithm, turns and seed; ValueError if it is damaged."""
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


class _OtherError(ValueError):
    """A Parquet file is of another program."""


def read_row(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a Parquet file of one row; raises ValueError if it holds anything else than what was written.

    Rows of earlier releases have no digest, which tells that; those are taken as they are.
    """
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with pq.ParquetFile(path) as file:
            table = file.read()
        digest = (table.schema.metadata or {}).get(_DIGEST)
        if not table.schema.equals(schema):
            raise (ValueError if digest else _OtherError)("it has other columns")
        if len(table) != 1:
            raise ValueError(f"it has {len(table)} rows")
        if digest is not None and digest != _digest(table):
            raise ValueError("its values have changed since they were written")
    except Exception as error:  # whatever damaged files may make Arrow raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} must be a Parquet file of one row, and is damaged: {reason}; scripts.sweep --resume "
            "restores it, and scripts.redo, if it is of a comparison"
        ) from error
    return table.replace_schema_metadata(None)


def check_row_place(path: Path, schema: pa.Schema) -> None:
    """Refuse to replace a file that is no row, not even a damaged one; raises ValueError."""
    try:
        if path.exists():
            read_row(path, schema)
    except ValueError as error:
        with path.open("rb") as file:
            begin = file.read(4)
        if begin.strip(b"\0") and (begin != b"PAR1" or isinstance(error.__cause__, _OtherError)):
            raise ValueError(f"{path} is no row that this program wrote: move it away") from error


def write_row(path: Path, row: Mapping[str, Any], schema: pa.Schema) -> None:
    """Write a Parquet file of one row with a digest of its values, whole or not at all.

    Raises:
        ValueError: If a file that is no row would be replaced.
    """
    check_row_place(path, schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    content, table = io.BytesIO(), pa.Table.from_pylist([row], schema=schema)
    pq.write_table(table.replace_schema_metadata({_DIGEST: _digest(table)}), content)
    write_atomically(path, content.getvalue())


def _digest(table: pa.Table) -> bytes:
    """SHA-256 of a table's values, every bit of them."""
    return hashlib.sha256(json.dumps(table.to_pylist()).encode()).hexdigest().encode()
