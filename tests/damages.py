"""Damage to files and folders, by failing disks and by mistake; and remedies, run as they are printed."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app

Damage = Callable[[Path, Path], object]
"""Damages the file or folder at the first path; the second is one outside that a link may lead to."""


def flip(position: float) -> Damage:
    """Changes one bit, at this share of the file."""

    def damage(path: Path, outside: Path) -> None:
        data = bytearray(path.read_bytes())
        if data:
            data[min(int(position * len(data)), len(data) - 1)] ^= 4
            path.write_bytes(data)

    return damage


def zero_page(path: Path, outside: Path) -> None:
    """Replace the first page by zeros."""
    data = path.read_bytes()
    path.write_bytes(bytes(min(4096, len(data))) + data[4096:])


def delete(path: Path, outside: Path) -> None:
    """Nothing is left."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def to_folder(path: Path, outside: Path) -> None:
    """Replace the file by an empty folder."""
    delete(path, outside)
    path.mkdir()


def to_file(path: Path, outside: Path) -> None:
    """Replace the folder by a file."""
    delete(path, outside)
    path.write_bytes(b"x")


def to_pipe(path: Path, outside: Path) -> None:
    """A pipe that nobody writes to."""
    delete(path, outside)
    os.mkfifo(path)


def to_link(path: Path, outside: Path) -> None:
    """A link to the same content."""
    shutil.move(path, outside)
    path.symlink_to(outside)


def to_broken_link(path: Path, outside: Path) -> None:
    """Replace the file by a dangling link."""
    delete(path, outside)
    path.symlink_to(outside / "nowhere")


FILE_DAMAGES: dict[str, Damage] = {
    "a bit at the start": flip(0.02),
    "a bit in the middle": flip(0.5),
    "the last bit": flip(1.0),
    "cut in half": lambda path, outside: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ),
    "empty": lambda path, outside: path.write_bytes(b""),
    "deleted": delete,
    "a zero page": zero_page,
    "a folder": to_folder,
    "a pipe": to_pipe,
    "a link": to_link,
}
FOLDER_DAMAGES: dict[str, Damage] = {
    "deleted": delete,
    "empty": to_folder,
    "a file": to_file,
    "a pipe": to_pipe,
    "a broken link": to_broken_link,
}


_PROGRAM = re.compile(r"^.*?(?=rsmtdf |rm -r )")


def run_remedy(
    remedy: str | None, names: Mapping[str, str], choice: int = 0, *, follow: bool = True
) -> str:
    """Run the commands of a remedy as they are printed, and those that they propose next.

    Args:
        remedy: alternatives are separated by "; or ", commands that follow each other by "; then ".
        names: values of names in capitals, such as CONFIG.
        choice: which of the alternatives.
        follow: whether to run the commands that they propose.

    Returns:
        The output of the commands.
    """
    assert remedy, "there is no remedy"
    alternative = remedy.split("; or ")[choice]
    commands = [_PROGRAM.split(part, maxsplit=1)[-1] for part in alternative.split("; then ")]
    output = ""
    while commands:
        program, *arguments = shlex.split(commands.pop(0).rstrip("."))
        if program == "rm":
            subprocess.run(["rm", *arguments], check=True)
            continue
        assert program == "rsmtdf", program
        answer = CliRunner().invoke(app, [names.get(word, word) for word in arguments])
        assert answer.exit_code == 0, (arguments, answer.output)
        if follow:
            commands += re.findall(r"^next: (rsmtdf .*)$", answer.output, re.MULTILINE)
        output += answer.output
    return output
