"""Locate a benchmark's files, in a folder that the user names or in archives, which are unpacked first."""

from pipeline.data.prepare.archives import unpack_all
from pipeline.data.prepare.benchmarks import Benchmark
from pipeline.data.prepare.layout import BenchmarkFolder, find_layout
from pipeline.data.prepare.settings import PrepareSettings
from pipeline.reporter import Reporter
from rsmtdf_core.errors import DataError, MissingFileError


def find_source(
    benchmark: Benchmark, settings: PrepareSettings, reporter: Reporter
) -> BenchmarkFolder:
    """Return the layout of the source's files; archives in the source are unpacked first.

    Raises:
        MissingFileError: If the source is missing or has no files of the benchmark.
        DataError: If the source is several folders, a folder's name cannot be in a path pattern, or an archive is
            damaged.
    """
    for source in settings.source:
        if not source.exists():
            raise MissingFileError(
                "the source is missing", where=source, remedy=f"get {benchmark.source}"
            )
    folders = [source for source in settings.source if source.is_dir()]
    archives = [source for source in settings.source if not source.is_dir()]
    where = ", ".join(map(str, settings.source))
    if len(folders) + bool(archives) > 1:
        raise DataError(
            "expected a single folder, or archives, found several folders",
            where=where,
            remedy="name their common folder with --from",
        )
    for folder in folders:
        # The output of an earlier run below the folder is no source.
        skip = [settings.to / "crops", *([settings.to] if settings.to != folder else [])]
        if layout := find_layout(benchmark, folder, skip):
            return layout
        archives = sorted(path for path in folder.glob("*.zip") if path.is_file())
    if archives:
        unpacked = settings.to / "original"
        unpack_all(benchmark, archives, unpacked, reporter, partial=settings.partial)
        if layout := find_layout(benchmark, unpacked):
            return layout
    raise MissingFileError(
        f"expected images and masks of {benchmark.name}, such as {benchmark.image.pattern} and "
        f"{benchmark.masks[0].pattern}; found no such files and no archives with them",
        where=where,
        remedy=f"get {benchmark.source}",
    )
