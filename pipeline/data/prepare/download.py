"""Download archives that need no login: resumable, and checked against their md5."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.data.prepare.archives import file_md5
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import DataError, WriteError
from rsmtdf_core.files import make_folder, require_writable_folder, sync_folder
from rsmtdf_core.refusals import naming, writing

_BLOCK = 2**20
_TIMEOUT = 60  # seconds without a byte
_PART = ".part"
_RESUME = "run the same command again to resume"


def download(
    urls: Mapping[str, str], md5: Mapping[str, str], to: Path, reporter: Reporter | None = None
) -> tuple[Path, ...]:
    """Download files into a folder and return their paths.

    Files with the right md5 are not downloaded again, and partial downloads are resumed.

    Args:
        urls: address of each file by name, http or https.
        md5: published md5 of each file by name.
        to: the folder; partial files end in .part.
        reporter: shows progress.

    Raises:
        DataError: If the server cannot be reached or refuses, or the md5 differs from the published one.
        WriteError: If a file cannot be written.
    """
    reporter = reporter or Silent()
    make_folder(to, DataError, "name another one with --to")
    require_writable_folder(to)
    for name, url in urls.items():
        path = to / name
        if path.is_file():
            _require_md5(path, md5[name], url)
            continue
        part = path.with_name(name + _PART)
        _fetch(url, part, reporter)
        _require_md5(part, md5[name], url)
        with writing(path, part):
            part.replace(path)
            sync_folder(to)
    return tuple(to / name for name in urls)


def _fetch(url: str, part: Path, reporter: Reporter) -> None:
    """Download the bytes of a file that `part` lacks, and append them."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError("expected an address of http or https", where=url)
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - checked above
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                have = 0  # the server sends the whole file
            total = have + int(answer.headers.get("Content-Length", 0))
            mebibytes = -(-total // _BLOCK)
            with (
                writing(part),
                naming(part),
                part.open("r+b" if have else "wb") as file,
                reporter.bar(f"fetching {part.stem} (MiB)", mebibytes, have // _BLOCK) as bar,
            ):
                file.seek(have)
                for block in _blocks(answer, url):
                    have += file.write(block)
                    bar.advance()
                file.flush()
                os.fsync(file.fileno())
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # no byte is missing; the md5 shows whether the file is right
        raise DataError(
            f"the server answers {error.code} {error.reason}",
            where=url,
            remedy=f"try again later, or download it by hand into {part.parent}",
        ) from None
    except WriteError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _broke_off(error, url) from None
    if have < total:
        raise DataError(
            f"the download broke off after {have:,} of {total:,} bytes",
            where=url,
            remedy=_RESUME,
        )


def _blocks(answer: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    """Yield the content. Errors of the network get their message here, because `_fetch` writes at the same time."""
    try:
        while block := answer.read(_BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _broke_off(error, url) from None


def _broke_off(error: Exception, url: str) -> DataError:
    return DataError(f"the download broke off: {error}", where=url, remedy=_RESUME)


def _require_md5(path: Path, expected: str, url: str) -> None:
    if (md5 := file_md5(path)) != expected:
        raise DataError(
            f"expected the md5 {expected}, found {md5}",
            where=path,
            remedy=f"delete the file and run the same command again; its source is {url}",
        )
