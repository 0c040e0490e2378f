"""`rsmtdf push` and `rsmtdf pull`: models as one folder with a card (tests: pipeline/share/test_run.py)."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, out, show, show_command
from rsmtdf_core.words import bytes_text


def push(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, or a folder of `rsmtdf export`.")
    ],
    to: Annotated[
        str,
        typer.Option(
            help="A folder, an address such as [cyan]s3://bucket/folder[/], or [cyan]hf://OWNER/NAME[/] for the "
            "Hugging Face hub, where a new repository is private."
        ),
    ],
    license: Annotated[  # noqa: A002 - the name on the command line
        str | None,
        typer.Option(help="The license that you give the model, for its card, e.g. apache-2.0."),
    ] = None,
) -> None:
    """Share a run's best model, or an export, as one folder with a model card.

    The card lists the data, the teachers with their licenses as far as known, the scores by protocol, and how to load
    the model. Scores are those of `rsmtdf evaluate`. The address needs no other file.
    """
    from pipeline.share import push as share

    result = share(source, to, RichReporter(), terms=license)
    size = bytes_text(result.listing.size)
    out.print(f"shared {result.listing.name}: {len(result.listing.files)} files, {size}")
    show_command("fetch it", "rsmtdf", "pull", result.address, "--out", result.listing.name)


def pull(
    address: Annotated[str, typer.Argument(help="The address that `rsmtdf push` printed.")],
    folder: Annotated[Path, typer.Option("--out", help="The new folder.")] = Path("model"),
) -> None:
    """Fetch a shared run or export. The folder appears complete and verified, or not at all."""
    from pipeline.share import pull as fetch

    result = fetch(address, folder, RichReporter())
    show(result.listing.kind, result.folder)
    if result.listing.kind == "run":
        show_command("try it on an image", "rsmtdf", "predict", result.folder, "IMAGE")
