"""Text of users, shown as given where some of its characters would be commands to what shows it."""

import re

_MARKUP = re.compile(r"[\\`*~$<>\[\]#&]|(?<!\w)_|_(?!\w)")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "$": "&#36;"}  # GitHub reads math after a backslash


def printable(text: object, most: int = 1000) -> str:
    """A text in one line, with escapes for what cannot be printed; its middle is cut if it is long."""
    lines = [line.strip() for line in shorten(str(text), 4 * most).splitlines()]
    line = " ".join(line for line in lines if line)
    return shorten("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), most)


def shorten(text: str, most: int) -> str:
    """A text of at most so many characters: its middle is cut, since names often differ at their ends."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def escape_markdown(text: object, most: int = 300) -> str:
    """A text in one line that Markdown shows as given, without HTML, links or math.

    In a table, `tables.markdown_table` escapes its pipes.
    """
    return _MARKUP.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), printable(text, most))


def code_span(text: object) -> str:
    """A text in one line that Markdown shows as code."""
    line = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if fence == "`" else f"{fence} {line} {fence}"


def escape_mathtext(text: object, most: int = 60) -> str:
    """A text that Matplotlib shows as given, in one line: neither as math nor as a label to be hidden."""
    plain = printable(text, most).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain
