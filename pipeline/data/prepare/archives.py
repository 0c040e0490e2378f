"""Unpack zip archives safely: every file is complete or absent, and none is written outside the folder."""

import hashlib
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from struct import error as StructError
from zlib import error as ZlibError

from pipeline.data.prepare.benchmarks import Benchmark
from pipeline.reporter import Reporter
from rsmtdf_core.errors import DataError, RsmtdfError
from rsmtdf_core.files import atomic_file, make_folder, read_json, write_json

_BLOCK = 2**20
# Errors that the decompressors raise for damaged, encrypted and unknown members.
_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    ZlibError,
    LZMAError,
    StructError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,  # names that are not text, offsets before the start of the file
)
_NOT_THE_DATA = "this is not an archive of the dataset: download it from its publisher"
_LONGEST_NAME = 255 - len(".tmp-") - 32  # in bytes; `atomic_file` appends to a name
_LONGEST_PATH = 2048
_MOST_ARCHIVES = 4  # nested


def unpack_all(
    benchmark: Benchmark,
    archives: Iterable[Path],
    to: Path,
    reporter: Reporter,
    *,
    partial: bool,
    depth: int = 1,
) -> None:
    """Unpack archives and the archives inside them below `to`; complete files are not written again.

    Raises:
        DataError: See `unpack`; also if an archive's md5 is not the published one (a warning with `partial`), or
            archives are nested too deep.
    """
    for archive in archives:
        if depth > _MOST_ARCHIVES:
            raise DataError(
                f"archives are nested more than {_MOST_ARCHIVES} deep",
                where=archive,
                remedy=_NOT_THE_DATA,
            )
        mark = to / ".unpacked" / f"{archive.name}.json"
        state = {"bytes": archive.stat().st_size, "modified": archive.stat().st_mtime_ns}
        if mark.is_file() and read_json(mark, DataError) == state:
            continue
        _check_md5(benchmark, archive, reporter, partial=partial)
        inner = unpack(archive, to, reporter)
        unpack_all(benchmark, inner, to, reporter, partial=partial, depth=depth + 1)
        write_json(mark, state)  # last: an archive is done when its inner archives are


def unpack(archive: Path, to: Path, reporter: Reporter) -> list[Path]:
    """Unpack an archive and return the archives inside it.

    Members go into a folder named after the archive, unless the archive has a single top folder.

    Raises:
        DataError: If the file is not a zip archive, is damaged, encrypted or larger than the free space, or has a
            member that would be written outside `to`.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if _wanted(archive, member)]
            _require_names(archive, [PurePosixPath(member.filename) for member in members])
            tops = {PurePosixPath(member.filename).parts[0] for member in members}
            flat = len(tops) != 1 or any("/" not in member.filename for member in members)
            base = to / archive.stem if flat else to
            missing = [
                member for member in members if not _is_there(base / member.filename, member)
            ]
            _require_space(archive, missing, to)
            with reporter.bar(f"unpacking {archive.name}", len(missing)) as bar:
                for member in missing:
                    _write(opened, member, base / member.filename)
                    bar.advance()
    except RsmtdfError:
        raise
    except _DAMAGE as error:
        raise DataError(
            f"expected a complete zip archive without a password: {error}",
            where=archive,
            remedy="download the archive again",
        ) from None
    return [
        base / member.filename for member in members if member.filename.lower().endswith(".zip")
    ]


def _wanted(archive: Path, member: zipfile.ZipInfo) -> bool:
    """Whether a member is a data file; refuse members that would leave the folder."""
    path = PurePosixPath(member.filename)
    link = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or link:
        raise DataError(
            f"the member '{member.filename}' would be written outside the folder",
            where=archive,
            remedy=_NOT_THE_DATA,
        )
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 if the archive has no kind
    if not path.parts or kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise DataError(
            f"the member '{member.filename}' is neither a file nor a folder",
            where=archive,
            remedy=_NOT_THE_DATA,
        )
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not (member.is_dir() or hidden)


def _require_names(archive: Path, paths: Sequence[PurePosixPath]) -> None:
    """Refuse files that cannot coexist, before the first is written."""
    files = set(paths)
    if len(files) < len(paths):
        [(twice, _)] = Counter(paths).most_common(1)
        problem = f"two members are named '{twice}'"
    elif inside := next((path for path in paths if not files.isdisjoint(path.parents)), None):
        problem = f"the member '{inside}' is inside another member, which is a file"
    elif long := next((path for path in paths if _is_too_long(path)), None):
        problem = f"the name of the member '{str(long)[:60]}...' is longer than file systems allow"
    else:
        return
    raise DataError(problem, where=archive, remedy=_NOT_THE_DATA)


def _is_too_long(path: PurePosixPath) -> bool:
    parts = [len(part.encode(errors="surrogatepass")) for part in path.parts]
    return max(parts) > _LONGEST_NAME or sum(parts) > _LONGEST_PATH


def _require_space(archive: Path, members: Sequence[zipfile.ZipInfo], to: Path) -> None:
    needed = sum(member.file_size for member in members)
    make_folder(to, DataError, "name another one with --to")
    if needed > (free := shutil.disk_usage(to).free):
        raise DataError(
            f"unpacking needs {needed:,} bytes, {free:,} are free in {to}",
            where=archive,
            remedy="name another folder with --to",
        )


def _is_there(path: Path, member: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == member.file_size


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    try:
        with opened.open(member) as source, atomic_file(path) as target:
            shutil.copyfileobj(source, target, _BLOCK)  # the archive's crc is compared at its end
    except OSError as failure:
        raise DataError(
            f"'{member.filename}' cannot be unpacked: {failure.strerror or failure}",
            where=path,
            remedy="remove the obstacle or free space, then run the command again to resume; "
            "if the archive is damaged, download it again",
        ) from failure


def _check_md5(benchmark: Benchmark, archive: Path, reporter: Reporter, *, partial: bool) -> None:
    expected = benchmark.md5.get(archive.name)
    if expected is None or (md5 := file_md5(archive)) == expected:
        return
    problem = f"{archive.name} should have the md5 {expected}, found {md5}"
    if not partial:
        raise DataError(
            problem,
            where=archive,
            remedy=f"download it again: rsmtdf data download {benchmark.name} --to DIR; or accept it with --partial",
        )
    reporter.warn(problem)


def file_md5(path: Path) -> str:
    """Return the md5 (32 hex digits) of a file's bytes, as archives are published with it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
