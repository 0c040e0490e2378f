"""Fetches the archives of a benchmark that may be fetched without a login: resumable, checked against their md5."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.data.prepare.archives import file_md5
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import DataError
from rsmtdf_core.files import make_folder, sync_folder

_BLOCK = 2**20
_TIMEOUT = 60  # seconds without a byte
_PART = ".part"


def download(
    urls: Mapping[str, str], md5: Mapping[str, str], to: Path, reporter: Reporter | None = None
) -> tuple[Path, ...]:
    """Fetch files into a folder; the paths of the whole and checked files.

    A file that is there with the right md5 is not fetched again, and one that was cut off is gone on with.

    Args:
        urls: by file name, http or https.
        md5: by file name; every file needs one.
        to: the folder; what is not whole yet has the ending .part there.
        reporter: shows progress.

    Raises:
        DataError: the server cannot be reached or refuses, or the bytes are not those that were published.
    """
    reporter = reporter or Silent()
    make_folder(to, DataError, "name another one with --to")
    for name, url in urls.items():
        path = to / name
        if path.is_file():
            _require_md5(path, md5[name], url)
            continue
        part = path.with_name(name + _PART)
        _fetch(url, part, reporter)
        _require_md5(part, md5[name], url)
        part.replace(path)
        sync_folder(to)
    return tuple(to / name for name in urls)


def _fetch(url: str, part: Path, reporter: Reporter) -> None:
    """Append what `part` lacks of a file on a server."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError("expected an address of http or https", where=url)
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - checked above
    again = "run the same command again: it goes on where it stopped"
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - checked above
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                have = 0  # the server sends all of it
            total = have + int(answer.headers.get("Content-Length", 0))
            mebibytes = -(-total // _BLOCK)
            with (
                part.open("r+b" if have else "wb") as file,
                reporter.bar(f"fetching {part.stem} (MiB)", mebibytes, have // _BLOCK) as bar,
            ):
                file.seek(have)
                while block := answer.read(_BLOCK):
                    have += file.write(block)
                    bar.advance()
                file.flush()
                os.fsync(file.fileno())
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is missing; the md5 tells whether it is right
        raise DataError(
            f"the server answers {error.code} {error.reason}",
            where=url,
            remedy=f"try again later, or fetch it by hand into {part.parent}",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"the download broke off: {error}", where=url, remedy=again) from None
    if have < total:
        raise DataError(
            f"the download broke off after {have:,} of {total:,} bytes",
            where=url,
            remedy=again,
        )


def _require_md5(path: Path, expected: str, url: str) -> None:
    if (found := file_md5(path)) != expected:
        raise DataError(
            f"expected the md5 {expected}, found {found}",
            where=path,
            remedy=f"delete the file and run the same command again; it comes from {url}",
        )
