"""The report as a command: the files it writes, and what it refuses."""

import json
import re
import shutil

import pandas as pd
import pytest

from agents.benchmark import row_checks
from agents.benchmark.store import REDONE, SCHEMA, write_row
from scripts.report import Arguments, main
from tests.agents.benchmark.test_summaries import FEW, SMALL, made_up_rows
from tests.conftest import refused


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
        own = ("benchmark.md", "benchmark/written_files.json")  # the page, which names its folder
        assert content == written[1][name] or name in own, name


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


HOSTILE = "<script>x</script> `b` $\\frac{$ [a](javascript:1) **b** # c | d\n# heading\0"


def test_text_of_rows_is_never_markup(tmp_path):
    rows = made_up_rows(SMALL, {"ppo": 0.004, "td3": 0.06}, range(3), failures={("tiny", "td3", 2)})
    rows.loc[rows["algorithm"] == "td3", "algorithm"] = HOSTILE
    rows["git_revision"] = rows["processor"] = HOSTILE
    rows["versions_json"] = rows["parameters_json"] = json.dumps({HOSTILE: HOSTILE})
    rows.loc[rows["status"] == "failed", "traceback"] = f"Traceback\n{HOSTILE.replace(chr(10), ' ')}"
    text = report_on(tmp_path, rows)
    plain = "\n".join(re.sub(r"(`+).*?\1", "", line) for line in text.splitlines() if "script" in line)
    assert "&lt;script&gt;" in plain
    for live in ("<script", r"\$", r"(?<!\\)\]\(javascript", r"(?<!\\)\*\*b", "(?<!\\\\)`"):
        assert not re.search(live, plain), live
    for line in text.splitlines():
        assert not line.startswith("# heading")
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
        elif line.startswith("| ---"):
            assert line.count("|") == cells


def test_long_text_is_cut(tmp_path):
    rows = made_up_rows(SMALL, {"ppo": 0.004}, range(3), failures={("tiny", "ppo", 2)})
    rows["processor"] = rows["git_revision"] = "word " * 100_000
    rows.loc[rows["status"] == "failed", "traceback"] = "x" * 1_000_000
    rows["parameters_json"] = json.dumps({"a": "y" * 1_000_000})
    assert len(report_on(tmp_path, rows)) < 20_000


def spoil(column, value):
    def change(rows):
        rows.at[0, column] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.assign(game="../../up"), "label must be"),
        (lambda rows: rows.assign(game="a|b"), "label must be"),
        (lambda rows: rows.assign(game="x" * 101), "label must be"),
        (spoil("curve_nash_conv", [1.0]), "must be equally long"),
        (spoil("curve_turns", None), "must be equally long"),
        (spoil("episode_excess", [1.0] * 3), "must be equally long"),
        (
            lambda rows: spoil("episode_excess", [1.0])(spoil("episode_exploitability", [1.0])(rows)),
            "as many episodes",
        ),
        (spoil("curve_seconds", list(range(20))[::-1]), "ascending order"),
        (spoil("curve_seconds", [float("nan")] * 20), "ascending order"),
        (spoil("status", "half"), "status must be"),
        (spoil("algorithm", ""), "algorithm must be text"),
        (spoil("turns", -1), "turns must be"),
        (spoil("seed", 2**40), "seed must be"),
        (spoil("parameters_json", "[" * 100_000), "at most 64 deep"),
        (spoil("versions_json", "7"), "must be an object"),
        (
            lambda rows: rows.assign(game_json=json.dumps({"learning_rates": [1.0] * 1_000_000})),
            "at most 100000 episodes",
        ),
        (lambda rows: rows.assign(game_json=json.dumps({"train": 10**12})), "in 0…100000"),
        (spoil("run_id", "tiny/ppo/1500000/1"), "every run must have one row"),
    ],
)
def test_rows_that_no_sweep_writes_are_refused(change, words, tmp_path, capsys):
    rows = change(made_up_rows(SMALL, FEW, range(2)))
    for place, row in enumerate(rows.to_dict("records")):
        write_row(tmp_path / "sweep" / "data" / f"{place}.parquet", row, SCHEMA)
    message = refused(capsys, main, Arguments(tmp_path / "sweep", tmp_path / "out"))
    assert words in message
    assert len(message) < 1100
    assert not (tmp_path / "out").exists()


def test_more_games_than_a_figure_can_show_are_refused():
    row_checks.check_size(100, 10)
    for games, contestants in ((101, 1), (100, 11)):
        with pytest.raises(ValueError, match="a report has at most"):
            row_checks.check_size(games, contestants)


def test_notes_may_begin_with_a_byte_order_mark_and_commands_are_quoted(tmp_path):
    notes = tmp_path / "my `notes`.md"
    notes.write_bytes("\ufeff## Über θ\r\n".encode())
    text = report_on(tmp_path, made_up_rows(SMALL, FEW, range(1)), notes=notes)
    assert "\n## Über θ\n" in text
    assert f"--notes '{notes}' `` writes this page" in text


def test_nothing_that_rows_name_is_imported(tmp_path, monkeypatch):
    (tmp_path / "never_imported.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    rows = made_up_rows(SMALL, {"never_imported:train": 0.1}, range(1))
    assert "never_imported:train" in report_on(tmp_path, rows)
