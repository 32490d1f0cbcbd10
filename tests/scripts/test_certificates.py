"""The map of certificates as a command: its table, its page, and what it refuses."""

import pandas as pd
import pytest

from scripts.certificates import Arguments, main
from scripts.experiments import certificate_map
from scripts.experiments.certificate_map import describe_cell
from tests.conftest import refused


def test_every_game_of_the_map_is_certified(tmp_path, capsys, monkeypatch):
    docs = tmp_path / "docs"
    docs.mkdir()
    small = {"regularizations": (0.0,), "train": (2,), "learning_rates": (0.1, 0.3), "deploy": 3}
    main(Arguments(**small, out=tmp_path / "out", docs=docs))
    table = pd.read_csv(tmp_path / "out" / "certificates.csv")
    assert len(table) == 4
    assert (table["oracle, %"] <= table["tables, %"]).all()
    assert (table["oracle, %"] < 0.1).all()
    page = (docs / "certificates.md").read_text(encoding="utf-8")
    assert page.startswith("# Certificates\n")
    assert page.count("\n| 0 | 2 |") == 2
    assert "Of 4 games" in page
    assert "certificates" in capsys.readouterr().out
    assert not (tmp_path / "out" / "tried.csv").exists()


@pytest.fixture
def quick(monkeypatch):
    """Certify nothing: every game that is asked for is refused by its oracle."""
    left = {"tables, %": 2.0, "oracle, %": 1.0, "made of": "cells", "refused": ""}
    monkeypatch.setattr(certificate_map, "certify_both", lambda game: left)
    monkeypatch.setattr(certificate_map, "try_cells", lambda game: [{"cells of": "angle", "120": 1.5}])


@pytest.mark.parametrize("text", ["# Mine\n", "# Certificates of my birth\n", "# Certificates\n", ""])
def test_another_page_is_not_replaced(tmp_path, capsys, quick, text):
    page, arguments = tmp_path / "certificates.md", Arguments(out=tmp_path / "out", docs=tmp_path)
    page.write_text(text)
    assert "certificates.md is not as this program wrote it" in refused(capsys, main, arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["certificates.md"]
    assert page.read_text() == text
    page.unlink()
    for _ in range(2):
        main(arguments)
    page.write_text(page.read_text(encoding="utf-8") + text + "mine", encoding="utf-8")
    assert "certificates.md is not as this program wrote it" in refused(capsys, main, arguments)


def test_what_was_tried_is_in_the_run_folder_and_never_older_than_the_map(tmp_path, quick):
    some = {"games": ("Misconception",), "train": (2, 4), "out": tmp_path / "out"}
    (tmp_path / "docs").mkdir()
    main(Arguments(**some, docs=tmp_path / "docs"))
    tried = pd.read_csv(tmp_path / "out" / "tried.csv")
    assert list(tried.columns) == ["game", "λ", "T", "η", "cells of", "120"]
    assert len(tried) == 2 * 3 * 4
    main(Arguments(**some))
    assert not (tmp_path / "out" / "tried.csv").exists()


@pytest.mark.parametrize(("weight", "train"), [(0.0, 30), (0.3, 30), (3.0, 40)])
def test_a_game_without_an_oracle_says_why_and_the_others_are_certified(tmp_path, weight, train):
    docs = tmp_path / "docs"
    docs.mkdir()
    some = {"games": ("Misconception",), "regularizations": (weight,), "train": (train,), "deploy": 2}
    main(Arguments(**some, learning_rates=(1e-3, 1e30), out=tmp_path / "out", docs=docs))
    good, bad = pd.read_csv(tmp_path / "out" / "certificates.csv").to_dict("records")
    assert good["oracle, %"] < 0.1
    assert pd.isna(good["refused"])
    assert "1e+30" in bad["refused"]
    assert pd.isna(bad["oracle, %"])
    assert f"| {describe_cell(good)} | none |" in (docs / "certificates.md").read_text(encoding="utf-8")


def test_a_cell_says_what_the_oracle_is_made_of():
    row = {"tables, %": 1.55, "oracle, %": 0.0004, "made of": "cells"}
    assert describe_cell(row) == "< 0.001 (1.6)"
    assert describe_cell(row | {"oracle, %": 0.0123, "made of": "tables"}) == "0.012"


@pytest.mark.parametrize(
    ("given", "message"),
    [({"games": ("Chess",)}, "games must be among"), ({"train": (-1,)}, "train must be a whole number")],
)
def test_bad_input_is_refused(capsys, tmp_path, given, message):
    assert message in refused(capsys, main, Arguments(**given, out=tmp_path / "out"))
