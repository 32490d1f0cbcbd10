"""The report as a command: the files it writes, and what it refuses."""

import re
import shutil

import pandas as pd
import pytest

from agents.benchmark.store import REDONE, SCHEMA, write_row
from scripts.report import Arguments, main
from tests.agents.benchmark.test_summaries import FEW, SMALL, made_up_rows


def write_sweep(folder, rows):
    """The folder of a sweep that left these rows."""
    for row in rows.to_dict("records"):
        write_row(folder / "data" / f"{row['run_id']}.parquet", row, SCHEMA)
    return folder


def report_on(tmp_path, rows, **arguments):
    main(Arguments(write_sweep(tmp_path / "sweep", rows), tmp_path / "out", **arguments))
    return (tmp_path / "out" / "benchmark.md").read_text(encoding="utf-8")


def test_a_report_has_every_figure_and_table_that_it_links_to(tmp_path, capsys):
    rows = made_up_rows(SMALL, FEW, range(4), failures={("tiny", "td3", 2)})
    text = report_on(tmp_path, rows)
    links = re.findall(r"\((benchmark/[^)]+)\)", text)
    assert len(links) == 9
    for link in links:
        assert (tmp_path / "out" / link).stat().st_size > 0, link
    folder = tmp_path / "out" / "benchmark"
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
        main(Arguments(write_sweep(tmp_path / "sweep", rows), tmp_path / place))
        files = sorted(path for path in (tmp_path / place).rglob("*") if path.is_file())
        written.append({str(path.relative_to(tmp_path / place)): path.read_bytes() for path in files})
    assert written[0].keys() == written[1].keys()
    for name, content in written[0].items():
        assert content == written[1][name] or name == "benchmark.md", name  # which names its folder


def test_notes_and_redone_runs_are_included(tmp_path):
    redone = {"run_id": "tiny/ppo/1/0", "algorithm": "ppo", "game": "tiny", "same_weights": True}
    redone |= {"same_evaluation": True, "same_versions": True}
    write_row(tmp_path / "sweep" / "redone" / "tiny/ppo/1/0.parquet", redone, REDONE)
    notes = tmp_path / "notes.md"
    notes.write_text("## Why the others stay above\n\nBecause of the weather.\n")
    text = report_on(tmp_path, made_up_rows(SMALL, FEW, range(3)), notes=notes)
    assert "| ppo | the same | 1 | 1 | 0 | 0 |" in text
    assert "## Why the others stay above\n\nBecause of the weather." in text
    assert f"--notes {notes}` writes this page" in text


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: shutil.rmtree(folder), "must be the folder of a sweep"),
        (lambda folder: next(folder.rglob("*.parquet")).write_bytes(b"PAR1"), ".parquet"),
        (lambda folder: [path.unlink() for path in folder.rglob("*.parquet")], "no rows yet"),
    ],
)
def test_folders_that_hold_no_rows_are_refused(spoil, reason, tmp_path, capsys):
    folder = write_sweep(tmp_path / "sweep", made_up_rows(SMALL, FEW, range(1)))
    spoil(folder)
    with pytest.raises(SystemExit) as exit_:
        main(Arguments(folder, tmp_path / "out"))
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_sweep_whose_runs_all_failed_is_refused(tmp_path, capsys):
    rows = made_up_rows(SMALL, {"ppo": 1.0}, range(2), failures={("tiny", "ppo", 0), ("tiny", "ppo", 1)})
    with pytest.raises(SystemExit):
        report_on(tmp_path, rows)
    assert "all 2 of the sweep failed, the first with 'ValueError: weights | are not finite'" in (
        capsys.readouterr().err
    )


def test_missing_notes_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        report_on(tmp_path, made_up_rows(SMALL, FEW, range(1)), notes=tmp_path / "none.md")
    assert "notes must be a readable file" in capsys.readouterr().err


def test_notes_that_the_rows_do_not_support_are_refused_before_anything_is_written(tmp_path, capsys):
    notes = tmp_path / "notes.md"
    notes.write_text("<!-- check: nash_conv_median of td3 on tiny < 0.01 -->")
    with pytest.raises(SystemExit):
        report_on(tmp_path, made_up_rows(SMALL, FEW, range(3)), notes=notes)
    assert "notes must follow from the rows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
