"""The command line, with one file per verb. Errors are printed in two or three lines and set the exit status."""

import io
import logging
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer

import rsmtdf_core
from cli import config
from cli.archive import search, suggest
from cli.areas import areas
from cli.cache import commands as cache
from cli.calibrate import calibrate
from cli.console import RichReporter, err, labeled, out
from cli.data import commands as data
from cli.demo import demo
from cli.evaluate import evaluate
from cli.exchange.export import export
from cli.exchange.import_official import import_official
from cli.extract import extract_features
from cli.help import unwrap_help
from cli.predict import predict
from cli.probe import probe
from cli.runs.compare import compare
from cli.runs.list import runs
from cli.runs.report import report
from cli.share import pull, push
from cli.start import start
from cli.train import train
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.refusals import refusal

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Semi-supervised segmentation of aerial images, taught by foundation models.

[bold]extract-features[/] runs the teachers once and stores their tokens; [bold]train[/] trains the student from
them; [bold]evaluate[/] scores it. Try [cyan]rsmtdf demo[/], or go from a folder of images to a model:
[cyan]rsmtdf start DIR[/].""",
)
app.command()(start)
app.command()(probe)
app.command("extract-features")(extract_features)
app.command()(train)
app.command()(evaluate)
app.command()(calibrate)
app.command()(predict)
app.command()(areas)
app.command()(runs)
app.command()(compare)
app.command()(report)
app.command("import-official")(import_official)
app.command()(export)
app.command()(push)
app.command()(pull)
app.command()(suggest)
app.command()(search)
app.command()(demo)
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
unwrap_help(app)


def _version(requested: bool) -> None:
    if requested:
        out.print(rsmtdf_core.__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line."""
    _quiet()
    handler = signal.signal(signal.SIGTERM, _terminate)
    os.register_at_fork(after_in_child=_end_at_once)
    try:
        app()
    except RsmtdfError as error:
        _leave_with(error)
    except OSError as error:
        if error.errno is None or "RSMTDF_DEBUG" in os.environ:
            raise  # raised by a program, not by the system
        _leave_with(refusal(error))
    except SystemExit as end:
        # Typer turns Ctrl-C into this status.
        if end.code == INTERRUPTED:
            _leave_interrupted(INTERRUPTED)
        if end.code == TERMINATED:
            _leave_interrupted(TERMINATED)
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """Exit on SIGTERM as on Ctrl-C; training replaces this handler."""
    sys.exit(TERMINATED)


def _end_at_once() -> None:
    """Let a forked process end at once on SIGTERM, even inside a library call, because no process waits for it."""
    if signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave_with(error: RsmtdfError) -> NoReturn:
    kind, style = ("error:", "bold red") if error.status == 1 else ("interrupted:", "bold")
    err.print(labeled(kind, error, style), soft_wrap=True)
    sys.exit(error.status)


class _Warnings(logging.Handler):
    """Prints the log warnings of our modules like all other warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record as a warning."""
        RichReporter().warn(record.getMessage())


def _leave_interrupted(status: int) -> NoReturn:
    err.print()
    kept = "complete files are kept; run the same command again to continue, or train with --resume"
    err.print(labeled("interrupted:", kept), soft_wrap=True)
    # Loader and cluster threads may still be busy with long work whose result is not needed.
    os._exit(status)


def _quiet() -> None:
    """Silence the messages of other libraries, which would break progress bars; set RSMTDF_DEBUG to see them."""
    for stream in (sys.stdout, sys.stderr):
        # File names may have bytes that are not text, or characters that the terminal cannot encode.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger(rsmtdf_core.__name__).addHandler(_Warnings())
    if "RSMTDF_DEBUG" not in os.environ:
        warnings.filterwarnings("ignore")
        logging.getLogger("distributed").setLevel(logging.ERROR)
        logging.getLogger("timm").setLevel(logging.ERROR)
        os.environ.setdefault(
            "HF_HUB_VERBOSITY", "error"
        )  # otherwise logs every connection attempt
        logging.getLogger("rasterio").setLevel(logging.CRITICAL)  # its errors are also raised


if __name__ == "__main__":
    main()
