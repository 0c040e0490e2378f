"""Find images in folders, and report files of unsupported formats."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES, conversion
from rsmtdf_core.words import counted

# Suffixes of files that accompany images: georeferences, overviews, statistics, labels and notes.
_COMPANIONS = frozenset({
    ".aux", ".bpw", ".bpwx", ".cpg", ".csv", ".dbf", ".doc", ".docx", ".enp", ".geojson", ".gfw", ".gfwx",
    ".gml", ".gpkg", ".html", ".ifw", ".imd", ".j2w", ".jgw", ".jgwx", ".jpw", ".json", ".jsonl", ".kml",
    ".kmz", ".log", ".md", ".md5", ".met", ".msk", ".ovr", ".pam", ".pdf", ".pgw", ".pgwx", ".points",
    ".prj", ".py", ".qgs", ".qgz", ".qix", ".qmd", ".qml", ".qpj", ".rpb", ".rpc", ".rrd", ".sbn",
    ".sbx", ".sdw", ".sha256", ".shp", ".shx", ".sld", ".tab", ".tfw", ".tfwx", ".tifw", ".til", ".toml",
    ".tsv", ".txt", ".vat", ".wld", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
})  # fmt: skip
_MOST_KINDS = 5


def files_below(root: Path) -> Iterator[Path]:
    """Yield all files below a folder, except hidden files; links to folders are followed, but not in circles.

    Raises:
        DataError: If a folder cannot be read.
    """
    seen: set[Path] = set()
    waiting = deque([root])
    while waiting:
        folder = waiting.popleft()
        try:
            real = folder.resolve()
            entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name))
        except OSError as error:
            raise DataError(
                f"the folder cannot be read: {error.strerror}",
                where=folder,
                remedy="change its permissions, or move it away",
            ) from None
        if real in seen:
            continue
        seen.add(real)
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if path.is_dir():  # unlike `entry.is_dir`, False for a link to itself
                waiting.append(path)
            else:
                yield path


def has_image_name(path: Path) -> bool:
    """Whether a file's name has the suffix of a supported format."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def unread_files(files: Iterable[Path]) -> list[Path]:
    """Return files of unsupported formats, without companions of images such as a.tfw and a.tif.ovr."""
    files = list(files)
    images = [path for path in files if has_image_name(path)]
    stems = {*images, *(path.with_suffix("") for path in images)}
    return [
        path
        for path in files
        if not has_image_name(path)
        and path.suffix.lower() not in {"", *_COMPANIONS}
        and path.with_suffix("") not in stems
    ]


def unread_note(unread: Sequence[Path]) -> str:
    """Return a sentence on files of unsupported formats, with the command that converts them."""
    kinds = Counter(path.suffix.lower() for path in unread).most_common()
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds[:_MOST_KINDS])
    more = ", ..." if len(kinds) > _MOST_KINDS else ""
    return (
        f"{counted(len(unread), 'file')} of other formats skipped ({listed}{more}), such as {unread[0]}: "
        f"{conversion(unread[0])}"
    )
