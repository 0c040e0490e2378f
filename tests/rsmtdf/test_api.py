"""The package as a whole: functions for all commands, and a quick import."""

import inspect
import json
import subprocess
import sys

import typer

import rsmtdf
from cli.main import app

# Groups of commands; cache and data are modules.
GROUPS = {"cache", "config", "data"}


# Options of the command line under the names that they have in Python.
RENAMED = {
    "set": "overrides",
    "from": "source",
    "for": "program",
    "quick": "depth",
    "deep": "depth",
    "asset": "assets",
}


def commands(group, skipped=()):
    return {
        name.replace("-", "_"): command
        for name, command in group.commands.items()
        if name not in skipped
    }


def test_every_verb_of_the_command_line_is_a_function_with_its_name_and_options():
    root = typer.main.get_command(app)
    verbs = {name: (rsmtdf, command) for name, command in commands(root, GROUPS).items()}
    for module in (rsmtdf.cache, rsmtdf.data):
        known = commands(root.commands[module.__name__.partition(".")[2]])
        verbs |= {name: (module, known[name]) for name in module.__all__}
    assert set(commands(root, GROUPS)) <= set(rsmtdf.__all__)
    for name, (module, command) in verbs.items():
        function = getattr(module, name)
        parameters = inspect.signature(function).parameters
        assert function.__doc__, name
        assert all(
            parameter.annotation is not parameter.empty for parameter in parameters.values()
        ), name
        options = {option_name(option) for option in command.params}
        # A report is a value already, functions do not prompt, and bars are shown on request.
        expected = {RENAMED.get(option, option) for option in options} - {"json", "yes"}
        assert set(parameters) - {"progress"} == expected, name


def option_name(option):
    """The option as a Python name: `padding_label` for `--padding-label`; an argument keeps its name."""
    long = next((flag for flag in option.opts if flag.startswith("--")), option.name)
    return long.removeprefix("--").replace("-", "_")


def test_the_package_imports_no_large_library():
    script = "import sys, rsmtdf; print([name for name in sys.modules if '.' not in name])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert not loaded & {
        "torch",
        "numpy",
        "pydantic",
        "zarr",
        "distributed",
        "typer",
        "rich",
        "PIL",
    }
