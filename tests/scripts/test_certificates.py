"""The map of certificates as a command: its table, its page, and what it refuses."""

import pandas as pd
import pytest

from scripts.certificates import Arguments, main
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


def test_another_page_is_not_replaced(tmp_path, capsys):
    page = tmp_path / "certificates.md"
    page.write_text("# Mine\n")
    assert "not a page of this command" in refused(
        capsys, main, Arguments(out=tmp_path / "out", docs=tmp_path)
    )
    assert "no folder" in refused(capsys, main, Arguments(out=tmp_path / "out", docs=tmp_path / "nowhere"))
    assert page.read_text() == "# Mine\n"


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
