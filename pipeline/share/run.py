"""The push and pull stages: a run or an export as one folder with a model card, at an address."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.reporter import Reporter, Silent
from pipeline.share.card import Card, export_card, run_card
from pipeline.share.listing import (
    CARD,
    LISTING,
    MOST_BYTES,
    Kind,
    Listing,
    list_files,
    read_listing,
)
from pipeline.share.places import Place, open_place
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError
from rsmtdf_core.files import (
    copy_file,
    make_folder,
    require_writable_folder,
    sync_files,
    temporary_path,
)
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.refusals import naming, writing
from rsmtdf_core.runs.checkpoint_state import FILES, STATE
from rsmtdf_core.runs.seals import read_sealed_json
from rsmtdf_core.settings import Settings

_RUN_FILES = (
    "run.json",
    "config.yaml",
    "manifest.yaml",
    "splits.yaml",
    "metrics.jsonl",
    "cache.lock.json",
    "calibration.json",
)
# Without the pictures that show images of the data, whose license is not the model's.
_EVALUATION = ("*.json", "*.csv", "confusion.png", "curves.png", "reliability.png")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


class Pushed(Settings):
    """A shared folder.

    Attributes:
        address: its address.
        listing: its files.
    """

    address: str
    listing: Listing


class Pulled(Settings):
    """A fetched folder.

    Attributes:
        folder: the folder on this machine.
        listing: its files.
    """

    folder: Path
    listing: Listing


def push(
    source: Path, to: str, reporter: Reporter | None = None, *, terms: str | None = None
) -> Pushed:
    """Share a run's best model, or an export, as one folder with a model card.

    Args:
        source: a run's folder, or a folder of `rsmtdf export`.
        to: a folder, an address of fsspec such as s3://bucket/folder, or hf://OWNER/NAME. Files of an earlier push are
            replaced; the list of files is written last.
        reporter: shows progress.
        terms: the license of the model for its card, an identifier of the hub such as apache-2.0.

    Raises:
        ConfigError: If the address or the license cannot be used.
        RunError: If the source is neither a run nor an export, is still training or damaged, or the upload fails.
        WriteError: If a local file cannot be written.
    """
    reporter = reporter or Silent()
    if terms is not None and not _LICENSE.fullmatch(terms):
        raise ConfigError(
            "a license is an identifier in lower case",
            where="--license",
            remedy="use one such as apache-2.0, cc-by-4.0 or other",
        )
    place = open_place(to)
    card, kind, paths = _contents(source, terms, reporter)
    with tempfile.TemporaryDirectory(prefix="rsmtdf-") as name:
        folder = Path(name)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            copy_file(source / path, folder / path)
        with naming(folder / CARD):
            (folder / CARD).write_text(card.text(place.address), encoding="utf-8")
        listing = list_files(folder, [*paths, CARD], kind, card.name)
        with naming(folder / LISTING):
            (folder / LISTING).write_bytes(listing.content())
        place.put(folder, [*(entry.path for entry in listing.files), LISTING])
    return Pushed(address=place.address, listing=listing)


def pull(address: str, out: Path, reporter: Reporter | None = None) -> Pulled:
    """Fetch a folder that `push` shared. It appears complete and verified, or not at all.

    Args:
        address: the folder's address.
        out: the new folder.
        reporter: shows progress.

    Raises:
        ConfigError: If the address cannot be used, or the folder exists.
        MissingFileError: If there is no shared folder at the address, or a file of it is missing.
        RunError: If a file is damaged, or the download fails.
        WriteError: If a file cannot be written.
    """
    reporter = reporter or Silent()
    if out.exists():
        raise ConfigError("the folder exists already", where=out, remedy="name another --out")
    require_writable_folder(out)
    place = open_place(address)
    make_folder(out.absolute().parent, RunError, "name another --out")
    temporary = temporary_path(out.absolute())
    try:
        with writing(temporary):
            temporary.mkdir()
        place.get(LISTING, temporary / LISTING, MOST_BYTES)
        listing = read_listing(temporary / LISTING, place.address)
        with reporter.bar(f"pull {listing.name}", len(listing.files)) as bar:
            for entry in listing.files:
                _fetch(place, entry.path, temporary / entry.path, entry.bytes, entry.sha256)
                bar.advance(note=entry.path)
        sync_files(temporary / entry.path for entry in listing.files)
        with writing(out, temporary):
            temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Pulled(folder=out, listing=listing)


def _fetch(place: Place, path: str, target: Path, size: int, sha256: str) -> None:
    """Download a file and verify it.

    Raises:
        RunError: If its bytes are not those of the listing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place.get(path, target, size)
    if target.stat().st_size != size or file_sha256(target) != sha256:
        raise RunError(
            "the file differs from the one that was pushed",
            where=f"{place.address}/{path}",
            remedy="pull again, or push the run again",
        )


def _contents(source: Path, terms: str | None, reporter: Reporter) -> tuple[Card, Kind, list[str]]:
    """Return the card, the kind and the files of a source."""
    if not source.is_dir():
        raise MissingFileError(
            "the folder does not exist",
            where=source,
            remedy="name the folder of a run or of an export",
        )
    exported = sorted(path.name for path in source.glob("student.*.json"))
    if exported:
        models = [name.removesuffix(".json") for name in exported]
        facts = read_sealed_json(source / exported[0], ())
        for model in models:
            if not (source / model).is_file():
                raise RunError(
                    "the file is missing", where=source / model, remedy="export the run again"
                )
        return export_card(facts, models, terms), "export", [*models, *exported]
    trained = load_run(source, overrides=["runtime.device=cpu"])
    if trained.folder.is_live:
        raise RunError(
            "the run is still training",
            where=source,
            remedy="wait for its end, or interrupt it with Ctrl-C",
        )
    card = run_card(trained, terms)
    if not card.reports:
        reporter.warn(f"the card has no scores: rsmtdf evaluate {source} first, and push again")
    reporter.warn(
        "config.yaml and cache.lock.json are shared as they are, with the paths of this machine"
    )
    return card, "run", list(_run_paths(source, trained.checkpoint.path))


def _run_paths(run: Path, checkpoint: Path) -> Iterator[str]:
    """Yield the files of a run that another machine needs, relative to the run."""
    yield from (name for name in _RUN_FILES if (run / name).is_file())
    folder = checkpoint.resolve().relative_to(run.resolve()).as_posix()
    yield from (f"{folder}/{name}" for name in (*FILES, STATE))
    for pattern in _EVALUATION:
        for path in run.glob(f"evaluation/*/{pattern}"):
            yield path.relative_to(run).as_posix()
