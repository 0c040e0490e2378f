"""The reference of all commands, as Markdown from their help (tests: tests/docs/test_references.py)."""

import re

import typer
from typer.cli import get_docs_for_click
from typer.core import MARKUP_MODE_KEY

from cli.main import app

_INTRODUCTION = """\
# Commands

Each command as its `--help` prints it. The environment variable `RSMTDF_CACHE` names the cache; `RSMTDF_DEBUG`
shows the warnings of other libraries.
"""
_STYLED = re.compile(r'<span style="([^"]*)">(.*?)</span>')
_SHORTENED = re.compile(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n")  # lists of commands, cut to one line


def command_page() -> str:
    """Return a page with a section for each command."""
    command = typer.main.get_command(app)
    context = typer.Context(command, obj={MARKUP_MODE_KEY: app.rich_markup_mode})
    text = get_docs_for_click(obj=command, ctx=context, name="rsmtdf")
    sections = _SHORTENED.sub("", text.partition("\n")[2])
    return _INTRODUCTION + _STYLED.sub(_marked, sections)


def _marked(match: re.Match[str]) -> str:
    """Mark words that the terminal shows in bold or in color."""
    tag = "strong" if "bold" in match[1] else "code"
    return f"<{tag}>{match[2]}</{tag}>"
