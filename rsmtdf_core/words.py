"""Numbers and names as people read them, in one way wherever they are shown."""

import os


def bytes_text(count: float) -> str:
    """A number of bytes: 950 B, 12.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def counted(count: int, word: str) -> str:
    """A count and what is counted: 1 run, 2 runs."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def readable(name: str) -> str:
    """A file's name as text: one whose bytes are not UTF-8 is read as Latin-1, as older systems wrote it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")
    return name


def printable(text: str) -> str:
    """The text with every character that cannot be seen escaped as `repr` does it; line breaks stay.

    A file's name may hold sequences that move a terminal's cursor or hide what follows.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The same in a single line, for a cell of a table or a picture."""
    return printable(text).replace("\n", r"\n")
