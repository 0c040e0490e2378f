"""Help texts that fill the terminal's width.

Typer keeps the line breaks of a docstring and adds breaks at the terminal's width. Help texts are therefore unwrapped
to one line per paragraph before Typer reads them.
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
    """Join the lines of each paragraph; an empty line ends a paragraph."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
