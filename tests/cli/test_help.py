"""Help fills the terminal's width, for every verb and at any depth."""

import re
from collections.abc import Iterator

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.help import unwrap_help, unwrapped
from cli.main import app


def _verbs(group: typer.Typer, *words: str) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*words, command.name or command.callback.__name__.strip("_").replace("_", "-"))
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield (*words, str(below.name))
        yield from _verbs(below.typer_instance, *words, str(below.name))


@pytest.mark.parametrize("verb", [(), *_verbs(app)], ids=" ".join)
def test_no_line_of_a_description_ends_before_the_terminal_does(verb):
    result = CliRunner(env={"COLUMNS": "1000", "TERMINAL_WIDTH": "1000"}).invoke(
        app, [*verb, "--help"]
    )
    assert result.exit_code == 0, result.output
    text = "\n".join(line.strip() for line in result.output.strip().splitlines())
    description = re.split(r"\n[\u256d+]", text)[0].strip()
    usage, *paragraphs = re.split(r"\n{2,}", description)
    assert usage.startswith("Usage: ")
    assert paragraphs
    assert not [paragraph for paragraph in paragraphs if "\n" in paragraph]


@given(st.lists(st.lists(st.from_regex(r"[a-z.\[\]]+", fullmatch=True), min_size=1), min_size=1))
def test_paragraphs_and_words_stay(paragraphs):
    wrapped = "\n\n".join("\n    ".join(words) for words in paragraphs)
    assert [part.split(" ") for part in unwrapped(wrapped).split("\n\n")] == paragraphs


def test_groups_below_are_unwrapped():
    below, above = typer.Typer(help="a\nb"), typer.Typer()

    @below.command()
    def verb() -> None:
        """One
        two.

        Three
        four.
        """

    above.add_typer(below, name="below")
    unwrap_help(above)
    assert below.info.help == "a b"
    assert below.registered_commands[0].help == "One two.\n\nThree four."
