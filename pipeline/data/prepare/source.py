"""Where a benchmark's files are: in a folder that a user names, or in archives that are unpacked first."""

from pipeline.data.prepare.archives import unpack_all
from pipeline.data.prepare.benchmarks import Benchmark
from pipeline.data.prepare.layout import BenchmarkFolder, find_layout
from pipeline.data.prepare.settings import PrepareSettings
from pipeline.reporter import Reporter
from rsmtdf_core.errors import DataError, MissingFileError


def find_source(
    benchmark: Benchmark, settings: PrepareSettings, reporter: Reporter
) -> BenchmarkFolder:
    """How the files of the source lie; archives, where the source is or has some, are unpacked for that.

    Raises:
        MissingFileError: the source is missing, or has nothing of the benchmark.
        DataError: the source is several folders, a folder's name cannot be in a path pattern, or an archive is
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
            "expected one folder, or archives, found several folders",
            where=where,
            remedy="name the folder above them with --from",
        )
    for folder in folders:
        # What an earlier run wrote below the folder is no source.
        skip = [settings.to / "crops", *([settings.to] if settings.to != folder else [])]
        if found := find_layout(benchmark, folder, skip):
            return found
        archives = sorted(path for path in folder.glob("*.zip") if path.is_file())
    if archives:
        unpacked = settings.to / "original"
        unpack_all(benchmark, archives, unpacked, reporter, partial=settings.partial)
        if found := find_layout(benchmark, unpacked):
            return found
    raise MissingFileError(
        f"expected images and masks of {benchmark.name}, such as {benchmark.image.pattern} and "
        f"{benchmark.masks[0].pattern}; found none, nor archives with them",
        where=where,
        remedy=f"get {benchmark.source}",
    )
