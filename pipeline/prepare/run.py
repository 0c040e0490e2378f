"""Prepares a benchmark: find, check, unpack, list, cut; the outcome is manifests that point at the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import field_validator, model_validator

from pipeline.prepare.archives import unpack_all
from pipeline.prepare.benchmarks import BENCHMARKS, Benchmark
from pipeline.prepare.crops import Cutter, PaddingLabel, cut_all
from pipeline.prepare.expected import find_originals, refuse
from pipeline.prepare.layout import Layout, find_layout
from pipeline.prepare.manifests import (
    MASKS_REMEDY,
    MaskKind,
    cut_manifest,
    listed_manifest,
    original_manifest,
    write_manifest,
)
from pipeline.prepare.official import (
    ListedCrop,
    OfficialLists,
    crop_ids,
    read_official,
    require_all,
    window_ids,
)
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.check import check_dataset
from rsmtdf_core.manifests.scenes import ScenePair, find_pairs, find_scenes
from rsmtdf_core.manifests.schema import Manifest, SplitSpec
from rsmtdf_core.manifests.splits import split_notes
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import suggestion


class PrepareSettings(Settings):
    """What to prepare.

    Attributes:
        benchmark: loveda, potsdam or deepglobe.
        source: a folder with the files or their archives, or the archives themselves.
        to: where manifests, unpacked files and crops go.
        splits: folders of official lists; each becomes a manifest.
        crops: cut crops rather than point at windows of the originals.
        padding_label: what crops have where they reach over a tile: ignored pixels, or the published labels'
            class ("dwl").
        masks: how masks encode classes; published: as the benchmark's makers have it.
        partial: accept fewer files than there should be.
    """

    benchmark: str
    source: tuple[Path, ...]
    to: Path
    splits: tuple[Path, ...] = ()
    crops: bool = False
    padding_label: PaddingLabel = "ignore"
    masks: MaskKind = "published"
    partial: bool = False

    @field_validator("benchmark")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in BENCHMARKS:
            raise ValueError(
                f"'{name}' is none of {', '.join(BENCHMARKS)}{suggestion(name, BENCHMARKS)}"
            )
        return name

    @model_validator(mode="after")
    def _pads_only_crops(self) -> "PrepareSettings":
        if self.padding_label != "ignore" and not self.crops:
            raise ValueError("windows are not padded: --padding-label needs --crops")
        return self


class PreparedManifest(Settings):
    """A manifest that was written, with its scenes by split and what reports will say of its split."""

    path: Path
    scenes: dict[str, int]
    labeled: int | None
    notes: tuple[str, ...]


class PrepareReport(Settings):
    """What was prepared.

    Attributes:
        root: the data root of the manifests.
        images: image files that were read.
        unmatched: pixels of masks that match no class and are ignored.
        manifests: one for each split.
        notes: what is missing or was left out.
    """

    root: Path
    images: int
    unmatched: int
    manifests: tuple[PreparedManifest, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Tiles:
    """The files as they were found: tiles, or crops where `layout.cropped`."""

    benchmark: Benchmark
    layout: Layout
    manifest: Manifest
    pairs: list[ScenePair]
    notes: tuple[str, ...]


def prepare(settings: PrepareSettings, reporter: Reporter | None = None) -> PrepareReport:
    """Check a benchmark's files and write manifests for them; cut crops where that is asked for.

    Raises:
        MissingFileError: the source is missing, or has nothing of the benchmark.
        DataError: files are missing, damaged or not as expected; the lists do not fit to them.
    """
    reporter = reporter or Silent()
    benchmark = BENCHMARKS[settings.benchmark]
    lists = [read_official(benchmark, folder) for folder in settings.splits]
    tiles = _find(benchmark, settings, reporter)
    if tiles.layout.cropped and settings.crops:
        raise DataError(
            "these files are crops already", where=tiles.layout.root, remedy="leave out --crops"
        )
    manifests, notes = _manifests(tiles, settings, lists)
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
    layout = _layout(benchmark, settings, reporter)
    manifest = original_manifest(benchmark, benchmark.name, layout, settings.masks)
    if layout.cropped:
        return _Tiles(benchmark, layout, manifest, find_pairs(manifest, layout.root), ())
    pairs, notes = find_originals(benchmark, manifest, layout.root, partial=settings.partial)
    return _Tiles(benchmark, layout, manifest, pairs, notes)


def _layout(benchmark: Benchmark, settings: PrepareSettings, reporter: Reporter) -> Layout:
    for source in settings.source:
        if not source.exists():
            raise MissingFileError(
                "the source is missing", where=source, remedy=f"get {benchmark.source}"
            )
    folders = [source for source in settings.source if source.is_dir()]
    archives = [source for source in settings.source if not source.is_dir()]
    if len(folders) + bool(archives) > 1:
        raise DataError(
            "expected one folder, or archives, found several folders",
            where=", ".join(map(str, settings.source)),
            remedy="name the folder above them with --from",
        )
    unpacked = settings.to / "original"
    for folder in folders:
        skip = [settings.to / "crops", *([settings.to] if settings.to != folder else [])]
        if found := find_layout(benchmark, folder, skip):
            return found
        archives = sorted(folder.glob("*.zip"))
    if archives:
        unpack_all(benchmark, archives, unpacked, reporter, partial=settings.partial)
        if found := find_layout(benchmark, unpacked):
            return found
    raise MissingFileError(
        f"expected images and masks of {benchmark.name}, such as {benchmark.image.pattern} and "
        f"{benchmark.masks[0].pattern}; found none, nor archives with them",
        where=", ".join(map(str, settings.source)),
        remedy=f"get {benchmark.source}",
    )


def _manifests(
    tiles: _Tiles, settings: PrepareSettings, lists: Sequence[OfficialLists]
) -> tuple[list[Manifest], tuple[str, ...]]:
    """The official splits and our own, over the files as they are; and all notes."""
    listed, notes = [], list(tiles.notes)
    for one in lists:
        ids, left_out = _listed(tiles, one, partial=settings.partial)
        notes += left_out
        listed.append(listed_manifest(tiles.manifest, one, ids, (*tiles.notes, *left_out)))
    if not tiles.layout.cropped:
        own = [
            original_manifest(tiles.benchmark, name, tiles.layout, settings.masks, tiles.notes)
            for name in tiles.benchmark.manifests
        ]
        return [*listed, *own], tuple(notes)
    # Without the tiles, nothing says that the crops are complete: a share drawn of them would be another one.
    if not lists:
        raise DataError(
            "these files are crops, which only lists tell how to split",
            where=tiles.layout.root,
            remedy="name a folder of official lists with --splits, or the original tiles with --from",
        )
    return listed, tuple(notes)


def _listed(
    tiles: _Tiles, lists: OfficialLists, *, partial: bool
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Ids of each split's scenes and of the labeled ones, and a note on crops that are left out."""
    benchmark, layout = tiles.benchmark, tiles.layout
    every = [crop for crops in lists.splits.values() for crop in crops]
    ids_of = crop_ids if layout.cropped else window_ids
    found = ids_of(benchmark, every, tiles.pairs)
    fields = tuple(name for name in tiles.manifest.fields if name != "crop")

    def expected(crop: ListedCrop) -> str:
        values = dict(zip(fields, crop.tile.split("/"), strict=True))
        return str(layout.root / layout.images.format(**values, crop=crop.number))

    if not partial:
        require_all(every, found, expected)
    ids = {
        name: tuple(found[crop] for crop in crops if crop in found)
        for name, crops in (*lists.splits.items(), ("labeled", lists.labeled))
    }
    missing = len(every) - len(found)
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
    """Cut the tiles; the count of unmatched pixels, and the manifests over the crops."""
    benchmark = tiles.benchmark
    published = benchmark.padding_class
    padding = 255
    notes: tuple[str, ...] = ()
    if settings.padding_label == "dwl" and published is not None:
        padding = published
        notes = (f"padding is labeled {tiles.manifest.class_names[published]}, as published",)
    windows = [find_scenes(manifest, tiles.layout.root) for manifest in manifests]
    cutter = Cutter(benchmark, tiles.manifest, tiles.layout.root, root, padding)
    unmatched = cut_all(cutter, tiles.pairs, reporter)
    cut = [
        cut_manifest(benchmark, manifest, some, notes)
        for manifest, some in zip(manifests, windows, strict=True)
    ]
    return unmatched, cut


def _open_all(tiles: _Tiles, reporter: Reporter) -> int:
    """Open every file; the count of mask pixels that match no class.

    Raises:
        DataError: files are damaged or not what the manifest says; they are named.
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
    problems = [f"{one.file}: {one.what}" for one in result.problems if one.file in paired]
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
