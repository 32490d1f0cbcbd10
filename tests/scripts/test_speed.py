"""The measurement of speed as a command: what it refuses."""

import pytest

from scripts import speed
from tests.conftest import refused


@pytest.mark.parametrize("name", ["repeats", "games", "environments"])
def test_counts_below_one_are_refused(name, tmp_path, capsys):
    arguments = speed.Arguments(**{name: 0}, out=tmp_path / "out")
    assert f"{name} must be a whole number ≥ 1; got 0" in refused(capsys, speed.main, arguments)
    assert not (tmp_path / "out").exists()
