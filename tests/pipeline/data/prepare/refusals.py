"""Small benchmarks and the assertion of refusals, shared by the tests of faulty sources."""

import zipfile
from pathlib import Path

import pytest

from pipeline.data.prepare import PrepareSettings, prepare
from rsmtdf_core.errors import RsmtdfError

SIZE = 600  # px: four crops, three of them padded
IMAGE, MASK = "train/{}_sat.jpg", "train/{}_mask.png"


def run(name, source, to, **settings):
    sources = source if isinstance(source, tuple) else (source,)
    return prepare(PrepareSettings(benchmark=name, source=sources, to=to, **settings))


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def refused(name, source, to, *words, **settings):
    """Assert a refusal with all words and a remedy, which leaves no partial file."""
    with pytest.raises(RsmtdfError) as caught:
        run(name, source, to, **settings)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.where
    assert caught.value.remedy
    assert not list(to.glob("*.yaml"))
    assert not list(to.rglob("*.tmp-*"))


def zipped(root: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root))
    return path
