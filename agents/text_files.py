"""Text files that users give: UTF-8 everywhere, with or without a byte order mark, and of bounded size."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

LARGEST, LARGEST_TOML = 10_000_000, 1_000_000
"""Bytes of a text file; Python's TOML parser takes a second for as many as it may have."""
DEEPEST = 64
"""Levels of tables and lists within each other in a JSON or TOML file."""


_TOML_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+'")
_TOML_MARK = re.compile(r"[=,#\[\]{}\n]")


def read_text(path: Path, kind: str, largest: int = LARGEST) -> str:
    """The text of a file.

    Raises:
        ValueError: If the file cannot be read, is no UTF-8, or has more than `largest` bytes.
    """
    try:
        with path.open("rb") as file:  # which may be a pipe or a device that has no size and no end
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{kind} must be a readable file; {path} cannot be read: {reason}") from error
    if len(content) > largest:
        raise ValueError(f"{kind} must have at most {largest} bytes; {path} has more")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{kind} must be text in UTF-8; {path} is not: {error}") from error


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The content of a TOML file; raises ValueError as `read_text` does, or if it is not TOML."""
    return _parse(_parse_toml, "TOML", read_text(path, kind, LARGEST_TOML), path, kind)


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """The content of a file of one JSON object; raises ValueError as `read_text` does, or if it is not."""
    return _parse(parse_json, "JSON", read_text(path, kind), path, kind)


def parse_json(text: str) -> dict[str, Any]:
    """The JSON object that a text holds; raises ValueError if there is none, or it is nested too deeply."""
    try:
        content = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(content, dict):
        raise ValueError("it must be an object, {…}")
    _validate_depth(content)
    return content


def _parse_toml(text: str) -> dict[str, Any]:
    # The parser's time is quadratic in the parts of a key.
    if any(part.count(".") > DEEPEST for part in _TOML_MARK.split(_TOML_STRING.sub("", text))):
        raise _too_deep()
    return tomllib.loads(text)


def _parse(
    parse: Callable[[str], dict[str, Any]], name: str, text: str, path: Path, kind: str
) -> dict[str, Any]:
    try:
        content = parse(text)
        _validate_depth(content)
    except RecursionError:
        raise ValueError(f"{kind} must be a {name} file; {path} is not one: {_too_deep()}") from None
    except ValueError as error:
        raise ValueError(f"{kind} must be a {name} file; {path} is not one: {error}") from error
    return content


def _validate_depth(content: Any) -> None:
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        inner = [part.values() if isinstance(part, dict) else part for part in level]
        level = [entry for part in inner for entry in part if isinstance(entry, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"its tables and lists must be at most {DEEPEST} deep")
