"""Rows of this project are complete, and rows of other packages are taken or refused by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from rsmtdf_core.codecs.settings import CodecSettings
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import (
    CODECS,
    FAMILIES,
    METHODS,
    PROTOCOLS,
    TOKEN_CODECS,
    CodecKind,
    Registry,
)
from tests.plugins import install

REGISTRIES = (METHODS, FAMILIES, CODECS, PROTOCOLS)
ROWS = """
from rsmtdf_core.kinds import CodecKind
from rsmtdf_core.codecs.settings import CodecSettings

PACKED = CodecKind(name="packed", summary="packed", code="nowhere.packed", settings=CodecSettings)
RAW = CodecKind(name="raw", summary="raw", code="nowhere.raw", settings=CodecSettings, lossless=True)
BROKEN = 1
"""


@pytest.mark.parametrize(
    ("registry", "name"), [(registry, name) for registry in REGISTRIES for name in registry]
)
def test_the_code_of_every_row_can_be_imported(registry, name):
    assert registry[name].name == name
    assert registry[name].load() is not None


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_reading_the_rows_loads_no_torch(registry):
    code = (
        "import sys\nfrom rsmtdf_core.kinds import CODECS, FAMILIES, METHODS, PROTOCOLS\n"
        "print([len(each) for each in (METHODS, FAMILIES, CODECS, PROTOCOLS)],"
        " [name for name in ('torch', 'timm', 'open_clip') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == f"{[len(each) for each in REGISTRIES]} []"


def codecs_with(folder: Path, monkeypatch, **points: str) -> Registry[CodecKind]:
    """The registry of codecs with those of an installed package, which names them in other groups too."""
    install(folder, "striped", {"rsmtdf.codecs": points, "rsmtdf.methods": {"not": "striped:A"}})
    (folder / "striped.py").write_text(ROWS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "striped", raising=False)
    return Registry("codec", CODECS.group, CodecKind, CODECS._built_in)


def test_rows_of_other_packages_follow_this_projects(tmp_path, monkeypatch):
    registry = codecs_with(tmp_path, monkeypatch, raw="striped:RAW", packed="striped:PACKED")
    assert list(registry) == [*CODECS, "packed", "raw"]
    monkeypatch.setattr("rsmtdf_core.kinds.CODECS", registry)
    assert tuple(TOKEN_CODECS) == ("fp16", "raw", "int8", "transform", "packed")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("fp16", "striped:PACKED", "there is already a codec of that name"),
        ("packed", "striped:RAW", "its row is named 'raw'"),
        ("packed", "striped:BROKEN", "expected a CodecKind, found a int"),
        ("packed", "striped:ABSENT", "it cannot be imported: AttributeError"),
        ("packed", "absent:PACKED", "it cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_package(
    tmp_path, monkeypatch, name, value, why
):
    registry = codecs_with(tmp_path, monkeypatch, **{name: value})
    with pytest.raises(ConfigError) as refusal:
        list(registry)
    assert f"the codec {name!r} of the package striped cannot be used: {why}" in refusal.value.what
    assert value in str(refusal.value)
    assert "uninstall" in str(refusal.value)


def test_code_without_the_interface_of_its_kind_is_refused():
    path = "rsmtdf_core.codecs.rows:FP16"
    row = CodecKind(name="packed", summary="packed", code=path, settings=CodecSettings)
    with pytest.raises(ConfigError, match="the code of packed has no fit and no encode and no unp"):
        row.load()


def test_code_that_cannot_be_imported_is_refused_by_its_path():
    row = CodecKind(
        name="packed",
        summary="packed",
        code="rsmtdf_core.codecs.absent:Packed",
        settings=CodecSettings,
    )
    with pytest.raises(ConfigError, match=r"rsmtdf_core\.codecs\.absent:Packed"):
        row.load()
