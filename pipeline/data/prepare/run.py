"""Prepare a benchmark: find, unpack and check its files, read lists, cut crops, and write manifests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.prepare.benchmarks import BENCHMARKS, Benchmark
from pipeline.data.prepare.crops import Cutter, cut_all
from pipeline.data.prepare.expected import find_originals, refuse
from pipeline.data.prepare.layout import BenchmarkFolder
from pipeline.data.prepare.manifests import (
    MASKS_REMEDY,
    cut_manifest,
    listed_manifest,
    original_manifest,
    write_manifest,
)
from pipeline.data.prepare.official import (
    OfficialLists,
    no_labeled_crop,
    read_all,
    require_all,
    scene_ids,
)
from pipeline.data.prepare.settings import PreparedManifest, PrepareReport, PrepareSettings
from pipeline.data.prepare.source import find_source
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import DataError
from rsmtdf_core.files import make_folder, require_writable_folder
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_pairs, find_scenes
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.scene import ScenePair
from rsmtdf_core.scenes.split_settings import SplitSpec
from rsmtdf_core.scenes.splits import split_notes


@dataclass(frozen=True)
class _Tiles:
    """The files on disk: tiles, or crops if `layout.cropped`."""

    benchmark: Benchmark
    layout: BenchmarkFolder
    manifest: Manifest
    pairs: list[ScenePair]
    notes: tuple[str, ...]


def prepare(settings: PrepareSettings, reporter: Reporter | None = None) -> PrepareReport:
    """Check a benchmark's files and write manifests for them; optionally cut crops.

    Raises:
        MissingFileError: If the source is missing or has no files of the benchmark.
        DataError: If files are missing, damaged or unexpected, the lists do not fit them, or the folder cannot be
            written.
    """
    reporter = reporter or Silent()
    require_writable_folder(settings.to)
    benchmark = BENCHMARKS[settings.benchmark]
    lists = read_all(benchmark, settings.splits)
    tiles = _find(benchmark, settings, reporter)
    manifests, notes = _manifests(tiles, settings, lists)
    make_folder(settings.to, DataError, "name another one with --to")
    root = tiles.layout.root
    if settings.crops:
        root = settings.to / "crops"
        unmatched, manifests = _cut(tiles, settings, manifests, root, reporter)
    else:
        unmatched = _open_all(tiles, reporter)
    return PrepareReport(
        root=root,
        images=len(tiles.pairs),
        unmatched=unmatched,
        manifests=tuple(_write(settings.to, manifest, root) for manifest in manifests),
        notes=notes,
    )


def _find(benchmark: Benchmark, settings: PrepareSettings, reporter: Reporter) -> _Tiles:
    """Return the files, if the settings fit them."""
    layout = find_source(benchmark, settings, reporter)
    manifest = original_manifest(benchmark, benchmark.name, layout, settings.masks)
    if not layout.cropped:
        pairs, notes = find_originals(benchmark, manifest, layout.root, partial=settings.partial)
        return _Tiles(benchmark, layout, manifest, pairs, notes)
    if settings.crops:
        raise DataError(
            "these files are crops already", where=layout.root, remedy="leave out --crops"
        )
    # Without the tiles, missing crops go unnoticed, and a share drawn from the rest would differ.
    if not settings.splits:
        raise DataError(
            "these files are crops, which can only be split by lists",
            where=layout.root,
            remedy="name a folder of official lists with --splits, or the original tiles with --from",
        )
    return _Tiles(benchmark, layout, manifest, find_pairs(manifest, layout.root), ())


def _manifests(
    tiles: _Tiles, settings: PrepareSettings, lists: Sequence[OfficialLists]
) -> tuple[list[Manifest], tuple[str, ...]]:
    """Return manifests for the official splits and, for tiles, for our own splits; and all notes."""
    manifests, notes = [], list(tiles.notes)
    for official in lists:
        ids, left_out = _listed(tiles, official, partial=settings.partial)
        notes += left_out
        manifests.append(listed_manifest(tiles.manifest, official, ids, (*tiles.notes, *left_out)))
    if not tiles.layout.cropped:
        manifests += [
            original_manifest(tiles.benchmark, name, tiles.layout, settings.masks, tiles.notes)
            for name in tiles.benchmark.manifests
        ]
    return manifests, tuple(notes)


def _listed(
    tiles: _Tiles, lists: OfficialLists, *, partial: bool
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the scene ids of each split and of "labeled", and a note on crops that are left out."""
    every = [crop for crops in lists.splits.values() for crop in crops]
    present = scene_ids(tiles.benchmark, every, tiles.pairs, cropped=tiles.layout.cropped)
    if not partial:
        require_all(every, present, tiles.layout)
    ids = {
        name: tuple(present[crop] for crop in crops if crop in present)
        for name, crops in (*lists.splits.items(), ("labeled", lists.labeled))
    }
    if not ids["labeled"]:
        raise no_labeled_crop(lists, len(tiles.pairs), tiles.layout)
    missing = len(every) - len(present)
    if not missing:
        return ids, ()
    return ids, (f"partial data: {missing} of {len(every)} listed crops are left out",)


def _cut(
    tiles: _Tiles,
    settings: PrepareSettings,
    manifests: Sequence[Manifest],
    root: Path,
    reporter: Reporter,
) -> tuple[int, list[Manifest]]:
    """Cut the tiles; return the number of unmatched pixels and the manifests of the crops."""
    benchmark = tiles.benchmark
    published = tiles.manifest.padding_id
    padding = 255
    notes: tuple[str, ...] = ()
    if published is not None:
        name = tiles.manifest.class_names[published]
        if settings.padding_label == "dwl":
            padding, note = published, f"padding is labeled {name}, as published"
        else:
            note = (
                f"padding is ignored, and {name} in the published crops: for the numbers of the protocols official "
                "and dwl, prepare without --crops, or with --crops --padding-label dwl"
            )
        notes = (note,)
    windows = [find_scenes(manifest, tiles.layout.root) for manifest in manifests]
    cutter = Cutter(benchmark, tiles.manifest, tiles.layout.root, root, padding)
    unmatched = cut_all(cutter, tiles.pairs, reporter)
    cut = [
        cut_manifest(benchmark, manifest, dataset, notes)
        for manifest, dataset in zip(manifests, windows, strict=True)
    ]
    return unmatched, cut


def _open_all(tiles: _Tiles, reporter: Reporter) -> int:
    """Open every file and return the number of mask pixels that match no class.

    Raises:
        DataError: If files are damaged or do not fit the manifest; the message lists them.
    """
    counted = tiles.benchmark.counted_by
    where = {}
    if counted is not None:
        present = {pair.fields[counted] for pair in tiles.pairs}
        where = {counted: tuple(value for value in tiles.benchmark.counts if value in present)}
    whole = tiles.manifest.model_copy(update={"splits": {"train": SplitSpec(where=where)}})
    with reporter.bar("opening files", len(tiles.pairs)) as bar:
        result = check_dataset(whole, tiles.layout.root, on_scene=bar.advance)
    paired = {path for pair in tiles.pairs for path in (pair.image, pair.mask)}
    problems = [
        f"{problem.file}: {problem.what}" for problem in result.problems if problem.file in paired
    ]
    if problems:
        refuse(problems, tiles.layout.root, MASKS_REMEDY)
    return result.unmatched


def _write(to: Path, manifest: Manifest, root: Path) -> PreparedManifest:
    dataset = find_scenes(manifest, root)
    return PreparedManifest(
        path=write_manifest(to, manifest, root),
        scenes={name: len(scenes) for name, scenes in dataset.splits.items()},
        labeled=None if manifest.labeled is None else len(manifest.labeled),
        notes=split_notes(dataset),
    )
