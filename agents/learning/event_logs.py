"""TensorBoard's log of a training: one curve, however often the training was interrupted."""

import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from stable_baselines3.common.logger import Logger, configure
from tensorboard.compat.proto.event_pb2 import Event

from agents.atomic_files import check_place, read_record, record_growing, write_atomically

FOLDER = "tensorboard"
"""Name of the folder of logs in a training's folder."""

_EVENT_FILES = "events.out.tfevents.*"
_LENGTH, _CHECKSUM = struct.Struct("<Q"), 4  # of a record: its length, checksum, content, checksum


def open_log(folder: Path, name: str, turns: int) -> Logger:
    """Open the log of a training that has played so many turns, without the turns that it will play again.

    These are what a killed process logged after its last checkpoint. The log is one TensorBoard run, in
    `folder`/tensorboard/`name`. Event files that the folder's record does not name are the user's.

    Raises:
        ValueError: If that leads through a symbolic link.
    """
    place = Path(FOLDER) / name
    check_place(folder, f"{place}/")
    record, before = read_record(folder), _event_files(folder, place)
    for name in before:
        path = folder / name
        if path.is_symlink() or not path.is_file() or (record is not None and name not in record):
            continue  # it is the user's
        content = path.read_bytes()
        ends = [end for end, step in _records(content) if step <= turns]
        if content and not any(_records(content)):
            continue  # it is not TensorBoard's
        if len(ends) < 2:  # the first record of a file says only which version wrote it
            path.unlink()
        elif ends[-1] < len(content):
            write_atomically(path, content[: ends[-1]])
    logger = configure(str(folder / place), ["tensorboard"])
    logger.output_formats[0].writer.flush()  # type: ignore[attr-defined]  # the file appears
    record_growing(folder, set(_event_files(folder, place)) - set(before))
    return logger


def _event_files(folder: Path, place: Path) -> list[str]:
    """Paths within a folder of the event files in a place of it."""
    return sorted(path.relative_to(folder).as_posix() for path in (folder / place).glob(_EVENT_FILES))


def _records(content: bytes) -> Iterator[tuple[int, int]]:
    """Where each whole record of an event file ends, and the turns that it is about."""
    end = 0
    while len(content) - end >= _LENGTH.size:
        start = end + _LENGTH.size + _CHECKSUM
        stop = start + _LENGTH.unpack_from(content, end)[0]
        end = stop + _CHECKSUM
        if end > len(content):
            return
        try:
            event = Event.FromString(content[start:stop])
        except DecodeError:
            return
        yield end, event.step
