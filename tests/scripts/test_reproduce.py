"""The command that reproduces experiments: run folders, the documentation, and claims that are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from agents.benchmark.run_folder import RunFolder
from scripts import reproduce
from scripts.experiments import EXPERIMENTS, page
from scripts.experiments.finding import Finding

TEMPLATE = """## A title

- **Question:** Is it so?
- **Answer:** [[so]] Yes, it is. [[/]]
- **Effect:** |θ| of {{ n }}

![A title](results/second.png)

A caption:

| A | B |
| --- | --- |
{{ rows shown: a b }}
"""
SHOWN = pd.DataFrame({"a": [1, 2], "b": [0.123456, float("nan")]})


def compute(**changes):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    parts = {
        "tables": {"shown": SHOWN, "other": pd.DataFrame({"c": [1]})},
        "figure": figure,
        "claims": {"so": True},
        "numbers": {"n": 2.0},
    }
    return Finding(**parts | changes)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Reproduce an experiment of which the documentation has a section, with parts of its finding changed."""
    templates = tmp_path / "templates"
    (templates / "results").mkdir(parents=True)
    (templates / "results" / "second.md").write_text(TEMPLATE)
    (templates / "results.md").write_text("# Results\n\n{{ answers }}\n\nBefore.\n\n{{ sections }}\n")
    monkeypatch.setattr(page, "TEMPLATES", templates)
    for name in ("first", "second"):
        monkeypatch.setitem(EXPERIMENTS, name, "finding:Finding")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "results.md").write_text(
        page.assemble("", {"first": "An old section.", "second": "To be replaced."})
    )

    def reproduce_second(docs=None, **changes):
        monkeypatch.setattr(
            reproduce.pkgutil, "resolve_name", lambda name: lambda trained: compute(**changes)
        )
        reproduce.main(reproduce.Arguments(names=("second",), out=tmp_path / "out", docs=docs))

    return reproduce_second


def test_a_run_folder_has_figure_section_and_tables(run, tmp_path, capsys):
    run()
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir() if path.name != ".lock"} == {
        "config.json",
        "environment.json",
        "written_files.json",
        "second.png",
        "second.md",
        "second_shown.csv",
        "second_other.csv",
    }
    assert (out / "second.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "second.md").read_text() == page.render(TEMPLATE, compute())
    written = pd.read_csv(out / "second_shown.csv")
    pd.testing.assert_frame_equal(written, SHOWN.rename(columns={"a": "A", "b": "B"}))
    config = json.loads((out / "config.json").read_text())
    assert (config["command"], config["names"]) == ("reproduce", ["second"])
    printed = capsys.readouterr().out
    assert "Is it so?\n  Yes, it is.\n  (|θ| of 2)" in printed
    assert "A caption:" in printed
    assert str(out) in printed


def test_the_documentation_gets_section_figure_and_shown_tables(run, tmp_path):
    docs = tmp_path / "docs"
    run(docs)
    text = (docs / "results.md").read_text()
    assert page.render(TEMPLATE, compute()).strip() in text
    assert "An old section." in text
    assert "To be replaced." not in text
    assert r"| Is it so? | Yes, it is. | \|θ\| of 2 | `python -m scripts.reproduce second` |" in text
    written = {"second.png", "second_shown.csv"}
    own = {".lock", "config.json", "written_files.json"}
    assert {path.name for path in (docs / "results").iterdir()} == written | own
    for name in written:
        assert (docs / "results" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_false_claim_fails_the_command_and_leaves_the_documentation_alone(run, tmp_path, capsys):
    docs = tmp_path / "docs"
    before = (docs / "results.md").read_text()
    with pytest.raises(SystemExit) as exit_:
        run(docs, claims={"so": False})
    assert exit_.value.code == 2
    assert "the numbers do not support the claim 'so': Yes, it is." in capsys.readouterr().err
    assert (docs / "results.md").read_text() == before
    assert not (docs / "results").exists()
    assert (tmp_path / "out" / "second_shown.csv").exists()  # the numbers are there to be looked at


@pytest.mark.parametrize(("learners", "kept"), [(None, False), ("trained", False), ("recorded", True)])
def test_a_figure_of_learners_is_kept_where_they_are_missing(learners, kept, run, tmp_path, capsys):
    results = tmp_path / "docs" / "results"
    with RunFolder(results, "reproduce") as folder:
        folder.claim()
        folder.file("second.png", b"old")
    run(tmp_path / "docs", learners=learners)
    assert ((results / "second.png").read_bytes() == b"old") == kept
    printed = capsys.readouterr().out
    assert ("learners as recorded in docs/results/second_*.csv" in printed) == kept
    assert ("second.png is unchanged" in printed) == kept


def test_documentation_without_results_is_refused_before_any_work(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(tmp_path)
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    assert f"--docs must name a folder with a results.md; there is none at {tmp_path}" in message
    assert not (tmp_path / "out" / "second.png").exists()


def test_published_numbers_are_met_by_the_grid_as_printed(tmp_path):
    reproduce.main(reproduce.Arguments(out=tmp_path))
    tables = {name: pd.read_csv(tmp_path / f"{name}_numbers.csv") for name in ("one", "two")}
    assert sum(map(len, tables.values())) == 5
    for table in tables.values():
        assert np.allclose(table["grid"].round(2), table["published"])
    exact = {name: table.set_index("quantity")["exact"] for name, table in tables.items()}
    assert exact["one"]["starting coefficient"] == pytest.approx(0.0311513, abs=5e-8)
    assert exact["two"]["final |θ|"] == pytest.approx(0.0818778, abs=5e-8)
    assert {path.name for path in tmp_path.glob("*.png")} == {"one.png", "two.png"}
