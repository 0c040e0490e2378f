"""Digests of everything that determines the pixels of scenes (tests: test_find.py, test_band_files.py)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rsmtdf_core.errors import MissingFileError
from rsmtdf_core.fingerprints import file_sha256, fingerprint
from rsmtdf_core.scenes.find import Dataset, Scene, in_threads
from rsmtdf_core.scenes.images.formats import VRT, identify
from rsmtdf_core.scenes.images.vrt import vrt_sources


def with_digests(dataset: Dataset, scenes: Sequence[Scene]) -> tuple[Scene, ...]:
    """Return the scenes with digests of everything that determines their pixels; each file is read once.

    The digest is the sha256 of the image file (for a VRT the fingerprint of its sha256 and those of its sources; for
    stacked files the fingerprint of their digests). If the manifest chooses bands, it is the fingerprint of [that
    digest, the bands].

    Raises:
        MissingFileError: If an image is missing.
    """
    bands = dataset.manifest.bands

    def digest(files: tuple[str, ...]) -> str:
        of_files = [_file_digest(dataset.root / file) for file in files]
        of_image = of_files[0] if len(of_files) == 1 else fingerprint(of_files)
        return of_image if bands is None else fingerprint([of_image, bands.model_dump(mode="json")])

    images = list(dict.fromkeys(scene.files for scene in scenes))
    digests = dict(zip(images, in_threads(digest, images), strict=True))
    return tuple(replace(scene, sha256=digests[scene.files]) for scene in scenes)


def _file_digest(path: Path) -> str:
    try:
        of_file = file_sha256(path)
        if identify(path) is VRT:
            of_file = fingerprint([of_file, *map(file_sha256, vrt_sources(path))])
    except FileNotFoundError:
        raise MissingFileError("the image is missing", where=path) from None
    return of_file
