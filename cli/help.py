"""Help texts that fill the terminal's width.

Typer prints a docstring with the line breaks of its source, which break again at the terminal's width. Help is
therefore unwrapped to one line a paragraph before Typer reads it.
"""

import inspect

import typer


def unwrap_help(app: typer.Typer) -> None:
    """Unwrap the help of an app, of its commands and of the apps below it."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.help = unwrapped(command.help or inspect.getdoc(command.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            unwrap_help(group.typer_instance)
    if isinstance(app.info.help, str):
        app.info.help = unwrapped(app.info.help)


def unwrapped(text: str) -> str:
    """The text with one line a paragraph; an empty line ends a paragraph."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
