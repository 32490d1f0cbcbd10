"""The README's Python sections run as they stand, and say what the code says."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("section", range(len(SECTIONS)))
def test_python_sections_run(section, capsys):
    exec(compile(SECTIONS[section], f"README section {section}", "exec"), {"__name__": "__main__"})
    assert "Traceback" not in capsys.readouterr().out


def test_there_is_a_section_for_each_kind_of_user():
    assert len(SECTIONS) >= 3
    for name in ("Train your own RL agent", "Register and make", "Compare agents with the oracle"):
        assert f"## {name}" in README


def test_make_targets_in_the_readme_exist():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make (\w+)`|^make (\w+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^{''.join(target)}:", makefile, flags=re.MULTILINE)
