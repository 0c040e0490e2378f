"""Compare the files of a benchmark with the published ones, before any file is written."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.data.prepare.benchmarks import Benchmark
from rsmtdf_core.errors import DataError, RsmtdfError
from rsmtdf_core.scenes.files import image_size
from rsmtdf_core.scenes.find import find_pairs, in_threads
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.patterns import match_files
from rsmtdf_core.scenes.scene import ScenePair

_SHOWN = 8  # problems that a message lists


def find_originals(
    benchmark: Benchmark, manifest: Manifest, root: Path, *, partial: bool
) -> tuple[list[ScenePair], tuple[str, ...]]:
    """Return the benchmark's tiles, sorted by id, and notes on missing files.

    Args:
        benchmark: the published facts.
        manifest: the path patterns of the files.
        root: the data root.
        partial: accept fewer tiles, and tiles without a mask.

    Raises:
        DataError: If counts, pairs or sizes differ from the published ones; the message lists the files.
    """
    pairs = [pair for pair in find_pairs(manifest, root) if _counted(benchmark, pair) is not None]
    lacks = [*_counts(benchmark, pairs), *_unpaired(manifest, root, pairs)]
    wrong = [
        problem
        for problems in in_threads(lambda pair: list(_sizes(benchmark, root, pair)), pairs)
        for problem in problems
    ]
    if wrong:
        refuse(wrong, root, f"{benchmark.name} is published as: {benchmark.source}")
    if lacks and not partial:
        refuse(lacks, root, "add the missing files, or accept fewer with --partial")
    counts = Counter(_counted(benchmark, pair) for pair in pairs)
    for value in benchmark.counts:
        if not counts[value]:
            raise DataError(
                _count_differs(benchmark, value, 0),
                where=root,
                remedy=f"its splits need some of each; get {benchmark.source}",
            )
    return pairs, tuple(f"partial data: {lack}" for lack in lacks[:_SHOWN])


def refuse(problems: Sequence[str], where: Path, remedy: str) -> None:
    """Raise a DataError that lists the first problems and counts all.

    Raises:
        DataError: Always.
    """
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    listed = "\n  ".join([*problems[:_SHOWN], *more])
    raise DataError(f"{len(problems)} wrong or missing:\n  {listed}", where=where, remedy=remedy)


def _counted(benchmark: Benchmark, pair: ScenePair) -> str | None:
    """Return the key in `counts` of a pair; None for other files, such as those of a part without masks."""
    value = "" if benchmark.counted_by is None else pair.fields[benchmark.counted_by]
    return value if value in benchmark.counts else None


def _counts(benchmark: Benchmark, pairs: Sequence[ScenePair]) -> Iterator[str]:
    counts = Counter(_counted(benchmark, pair) for pair in pairs)
    for value, expected in benchmark.counts.items():
        if counts[value] != expected:
            yield _count_differs(benchmark, value, counts[value])


def _count_differs(benchmark: Benchmark, value: str, count: int) -> str:
    group = f" of {benchmark.counted_by} {value}" if value else ""
    return f"expected {benchmark.counts[value]} images{group}, found {count}"


def _unpaired(manifest: Manifest, root: Path, pairs: Sequence[ScenePair]) -> Iterator[str]:
    assert manifest.masks is not None
    for pair in pairs:
        if pair.mask is None:
            yield f"{pair.image}: its mask {manifest.masks.format(**pair.fields)} is missing"
    paired = {pair.mask for pair in pairs}
    images = {tuple(pair.fields.values()) for pair in pairs}
    for key, mask in match_files(root, manifest.masks, manifest.fields).items():
        if mask not in paired and key not in images:
            fields = dict(zip(manifest.fields, key, strict=True))
            yield f"{mask}: its image {manifest.image_patterns[0].format(**fields)} is missing"


def _sizes(benchmark: Benchmark, root: Path, pair: ScenePair) -> Iterator[str]:
    """Yield the problems in the headers of a pair's files."""
    width, height = benchmark.size
    for path in filter(None, (pair.image, pair.mask)):
        try:
            size = image_size(root / path)
        except RsmtdfError as error:
            yield f"{path}: {error.what}"
            continue
        if size != benchmark.size:
            yield f"{path}: expected {width} x {height} px, found {size[0]} x {size[1]} px"
