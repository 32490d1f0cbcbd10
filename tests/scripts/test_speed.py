"""The measurement of speed as a command: what it refuses."""

import pytest

from scripts import speed
from tests.conftest import refused


@pytest.mark.parametrize("count", [0, 10**9])
@pytest.mark.parametrize("name", ["repeats", "games", "environments"])
def test_counts_out_of_range_are_refused(name, count, tmp_path, capsys):
    arguments = speed.Arguments(**{name: count}, out=tmp_path / "out")
    assert f"{name} must be a whole number in 1…" in refused(capsys, speed.main, arguments)
    assert not (tmp_path / "out").exists()
