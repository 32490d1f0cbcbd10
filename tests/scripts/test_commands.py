"""The commands, as a user calls them: what they write, what they refuse, and what they survive."""

import numpy as np
import pandas as pd
import pytest

from mesa_env import Game, train_then_deploy
from scripts import reproduce
from scripts.arguments import GameArguments


class TestReproduce:
    def test_published_numbers_are_met_by_the_grid_as_printed(self, tmp_path):
        reproduce.main(reproduce.Arguments(out=tmp_path))
        tables = {name: pd.read_csv(tmp_path / f"{name}_numbers.csv") for name in ("one", "two")}
        assert sum(map(len, tables.values())) == 5
        for table in tables.values():
            assert np.allclose(table["grid"].round(2), table["published"])
        exact = {name: table.set_index("quantity")["exact"] for name, table in tables.items()}
        assert exact["one"]["starting coefficient"] == pytest.approx(0.0311513, abs=5e-8)
        assert exact["two"]["final |θ|"] == pytest.approx(0.0818778, abs=5e-8)
        assert {path.name for path in tmp_path.glob("*.png")} == {"one.png", "two.png"}


def test_the_second_experiment_is_the_first_command_with_other_numbers():
    assert GameArguments(train=100, deploy=0).build((0.8,)) == Game(train_then_deploy(100, 0))
