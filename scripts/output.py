"""What commands print, and how they end: any text in any encoding, and no traceback."""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import NoReturn

from agents.plain_text import printable

_OF_STREAMS = errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF
"""Errors of what is printed, if they name no file."""
_BROKEN_PIPE = 141  # as a shell reports a process that SIGPIPE ended


@contextlib.contextmanager
def ending_without_traceback() -> Iterator[None]:
    """End on Ctrl-C or a full disk with one line, and silently where nobody reads on."""
    prepare_output()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        if abandon_output():
            sys.exit(_BROKEN_PIPE)
        refuse(error)
    except (OSError, MemoryError, UnicodeError) as error:
        abandon_output()
        refuse(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def refuse(error: BaseException) -> NoReturn:
    """Say in one line what is wrong, and with which file, and exit with code 2."""
    said: object = error
    if isinstance(error, OSError) and error.strerror:
        file = error.filename or ("standard output" if error.errno in _OF_STREAMS else None)
        said = f"{file} cannot be read or written: {error.strerror}" if file else error.strerror
    print(f"error: {printable(said) or type(error).__name__}", file=sys.stderr)
    sys.exit(2)


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
            if _reader_is_gone(stream.fileno()):
                raise BrokenPipeError
            stream.flush()
        except io.UnsupportedOperation:
            continue  # no file, as in a test
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            broken = True
    return broken


def _reader_is_gone(descriptor: int) -> bool:
    """Whether what is written goes to a pipe without a reader; a failed flush need not fail again."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
