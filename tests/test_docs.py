"""The README and the pages under docs/: their Python runs, and what they name exists."""

from __future__ import annotations

import functools
import importlib.util
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mesa_env import GAMES

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str]]:
    """All code blocks in a language, each with the page it is on."""
    return [
        (page, textwrap.dedent(block[3]))
        for page, text in TEXTS.items()
        for block in BLOCK.finditer(text)
        if block[2] == language
    ]


def commands() -> list[tuple[str, str, list[str]]]:
    """Every documented command of scripts/: its page, its name and its arguments."""
    lines = [(page, line) for page, block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    lines += [(page, code) for page, text in TEXTS.items() for code in re.findall(r"`([^`\n]+)`", text)]
    found = [(page, re.search(r"python -m scripts\.(\w+)(.*)", line)) for page, line in lines]
    return [(page, match[1], shlex.split(match[2], comments=True)) for page, match in found if match]


@functools.cache
def help_of(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.{command}", "--help"],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def slug(heading: str) -> str:
    """The anchor that a heading gets on the web."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_blocks_run(page, code, capsys):
    exec(compile(code, page, "exec"), {"__name__": "__main__"})
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", TEXTS[page]):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in map(slug, headings), anchor


@pytest.mark.parametrize("page", TEXTS)
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for pair in re.findall(r"`make (?:-j\d )?([\w-]+)|^make ([\w-]+)", TEXTS[page], flags=re.MULTILINE):
        assert re.search(rf"^{''.join(pair)}:", makefile, flags=re.MULTILINE), pair


@pytest.mark.parametrize("page", TEXTS)
def test_names_and_files_exist(page):
    for name in re.findall(r"`((?:mesa_env|agents|scripts)(?:\.\w+)+)`", TEXTS[page]):
        pkgutil.resolve_name(name)
    for path in re.findall(r"`((?:mesa_env|agents|scripts|tests|docs)/[\w./-]+?)/?`", TEXTS[page]):
        assert path.endswith("-v0") or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", TEXTS)
def test_commands_are_called_as_modules(page):
    assert not re.findall(r"python scripts/\S*", TEXTS[page])


@pytest.mark.parametrize(("page", "command", "arguments"), commands())
def test_commands_take_the_arguments_that_pages_give_them(page, command, arguments):
    assert importlib.util.find_spec(f"scripts.{command}"), page
    for flag in (word for word in arguments if word.startswith("--") and word != "--help"):
        assert re.search(rf"{re.escape(flag)}\b", help_of(command)), f"{page}: {flag}"


def test_the_readme_is_one_page():
    assert len(TEXTS["README.md"].splitlines()) <= 120
    for heading in ("Two commands", "Install", "Play", "Solve and compare", "Train", "Games", "Questions"):
        assert f"\n## {heading}\n" in TEXTS["README.md"]


def test_the_readme_lists_every_game():
    assert set(GAMES) == set(re.findall(r"^\| `(\w+)` \|", TEXTS["README.md"], flags=re.MULTILINE))
