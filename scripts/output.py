"""What commands print: any text in any encoding, and nothing more once nobody reads it."""

import io
import os
import sys


def prepare_output() -> None:
    """Let standard output take any text, and let streams that are closed lead nowhere.

    Characters that the output's encoding does not have become "?".
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as we run
        elif name == "stdout" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def abandon_output() -> bool:
    """Whether a stream can no longer be written to; it then leads nowhere, also when Python exits."""
    broken = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            broken = True
    return broken
