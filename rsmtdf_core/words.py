"""Format numbers and names for display."""

import os


def bytes_text(count: float) -> str:
    """Format a number of bytes: 950 B, 12.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span(seconds: float) -> str:
    """Format a duration: 12 ms, 8.5 s, 12.0 min, 3.5 h."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def counted(count: int, word: str) -> str:
    """Format a count with its noun: 1 run, 2 runs."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def readable(name: str) -> str:
    """Return a file's name as text; bytes that are not UTF-8 are decoded as Latin-1, as on older systems."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")
    return name


def printable(text: str) -> str:
    """Escape every non-printable character of the text like `repr`, except line breaks.

    A file's name may hold sequences that move a terminal's cursor or hide what follows.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Return the printable text in a single line, for a cell of a table or a picture."""
    return printable(text).replace("\n", r"\n")


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters, with an ellipsis in the middle of a longer one."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (most - 1 - head) :]}"
