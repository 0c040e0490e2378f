"""`rsmtdf cache transcode`: convert a store to another codec without its teacher (tests: test_verify.py)."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, out, show
from cli.options import read_runtime
from rsmtdf_core.words import bytes_text


def transcode(
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE", help="The start of a store's name, its teacher's name, or its folder."
        ),
    ],
    codec: Annotated[str, typer.Option(help="The new store's codec, as in teachers.NAME.codec.")],
    quality: Annotated[
        float | None,
        typer.Option(
            help="Mean-centred cosine that the codec keeps, for a codec with this setting.",
            show_default="0.99",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Folder of the feature stores.",
            show_default="$RSMTDF_CACHE, else rsmtdf in the user's cache folder",
        ),
    ] = None,
) -> None:
    """Transcode a store's records to another codec; needs neither a GPU nor the teacher.

    Training uses the new store if the config selects its codec: --set teachers.NAME.codec=int8. The command is
    resumable.
    """
    from pipeline.cache.transcode import transcode as transcode_store
    from rsmtdf_core.cache.catalogue import find_entry, read_catalogue
    from rsmtdf_core.codecs import declare_codec

    entry = find_entry(read_catalogue(read_runtime(cache).cache_folder), store)
    declared = declare_codec(codec, **({} if quality is None else {"quality": quality}))
    report = transcode_store(entry.opened(), declared, RichReporter())
    if not report.new:
        out.print("the store is already complete", style="bold")
    out.print(
        f"{report.views} records, {report.new} of them new: {bytes_text(report.bytes)}, "
        f"{report.source_bytes / report.bytes:.1f} times smaller than the source's {bytes_text(report.source_bytes)}",
    )
    cosine = report.certificate.get("centred_cosine")
    if report.new and cosine:
        out.print(
            f"centred cosine with the source's tokens {cosine['mean']:.6f} on average, {cosine['p1']:.6f} at "
            "the 1st percentile",
        )
    show("store", report.path)
