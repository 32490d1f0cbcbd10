"""What commands print: in any encoding, to pipes that nobody reads to the end, and to closed streams."""

import os
import subprocess
import sys

import pytest

from scripts.output import ending_without_traceback

EVALUATE = (
    "evaluate",
    "--agents",
    "myopic",
    "a[b]=compliant",
    "x[/]=guard",
    "--games",
    "2",
    "--game.train",
    "2",
)
ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "latin-1:strict"},
]


def call(command, *arguments, redirect="", **environment):
    """Run a command in a shell, with its streams redirected, and exit as the command does."""
    line = f'"$0" -m scripts.{command} "$@" {redirect}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *arguments], capture_output=True, env=os.environ | environment
    )


@pytest.mark.parametrize("environment", ASCII)
def test_characters_that_an_encoding_lacks_are_replaced(environment, tmp_path):
    ended = call(*EVALUATE, "--out", str(tmp_path / "out"), **environment)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"a[b]" in ended.stdout
    assert b"x[/]" in ended.stdout
    assert b"?" in ended.stdout
    assert (tmp_path / "out" / "figure.png").exists()


@pytest.mark.parametrize("command", ["evaluate", "train", "sweep", "maps"])
def test_help_needs_no_unicode(command):
    ended = call(command, "--help", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"--out" in ended.stdout


@pytest.mark.parametrize("redirect", ["| true", "2>&1 | true"])
@pytest.mark.parametrize("arguments", [("train", "--help"), (*EVALUATE, "--out", "out")])
def test_a_pipe_that_nobody_reads_ends_a_command_silently(arguments, redirect, tmp_path):
    ended = call(*[str(tmp_path / word) if word == "out" else word for word in arguments], redirect=redirect)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_what_nobody_reads_is_written_to_the_run_folder(tmp_path):
    call(*EVALUATE, "--out", str(tmp_path), redirect="| true")
    assert {"games.csv", "summary.json", "figure.png"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("redirect", [">&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(redirect, tmp_path):
    ended = call(*EVALUATE, "--out", str(tmp_path), redirect=redirect)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert (tmp_path / "figure.png").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    ended = call(*EVALUATE, "--out", str(tmp_path), redirect="> /dev/full")
    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines() == [
        "error: standard output cannot be read or written: No space left on device"
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(27, "File too large", "a/model.zip"),
            "a/model.zip cannot be read or written: File too large",
        ),
        (OSError(28, "No space left"), "standard output cannot be read or written: No space left"),
        (OSError(2, "No usable temporary directory"), "No usable temporary directory"),
        (OSError(13, "Permission denied", 3), "3 cannot be read or written: Permission denied"),
        (OSError("a process has died"), "a process has died"),
        (MemoryError(), "MemoryError"),
    ],
    ids=repr,
)
def test_an_error_of_the_system_is_one_line_that_names_the_file(error, line, capsys):
    with pytest.raises(SystemExit), ending_without_traceback():
        raise error
    assert capsys.readouterr().err == f"error: {line}\n"
