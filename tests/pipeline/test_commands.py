"""Printed commands work as they are."""

import shlex
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser
from typer.testing import CliRunner

from cli.main import app
from pipeline.commands import train_command

GUIDE = Path(__file__).parents[2] / "docs" / "gpus.md"


@pytest.mark.parametrize("run", ["runs/a", "runs/with a space"])
@pytest.mark.parametrize("words", [("--resume",), ("--overwrite", "--set optimiser.lr=0.1")])
def test_torchrun_takes_the_command_as_it_is_printed(run, words):
    command = train_command(Path(run) / "config.yaml", Path(run), *words, processes=2)
    launcher, *arguments = shlex.split(command)
    assert launcher == "torchrun"
    arguments_of_torchrun = get_args_parser().parse_args(arguments)
    alone = shlex.split(train_command(Path(run) / "config.yaml", Path(run), *words))
    assert arguments_of_torchrun.nproc_per_node == "2"
    # The shell replaces $(which rsmtdf) by one word.
    assert (
        arguments_of_torchrun.training_script,
        arguments_of_torchrun.training_script_args[0],
    ) == ("$(which", "rsmtdf)")
    assert arguments_of_torchrun.training_script_args[1:] == alone[1:]


def test_help_and_docs_print_the_same_form():
    form = "torchrun --nproc-per-node N -- $(which rsmtdf) train"
    help_text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    assert form in " ".join(help_text.split())
    assert form in " ".join(GUIDE.read_text().split())
