"""The files about the project agree with each other."""

import tomllib
from pathlib import Path

import yaml

import rsmtdf
from rsmtdf_core.kinds import CodecKind

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_everywhere():
    assert PROJECT["version"] == rsmtdf.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == rsmtdf.__version__
    assert f"\n## {rsmtdf.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_license_is_the_same_everywhere():
    assert PROJECT["license"] == "Apache-2.0"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_folders_in_the_layout_are_there():
    layout = (ROOT / "CONTRIBUTING.md").read_text().split("```")[3]
    parent = ROOT
    for line in layout.splitlines():
        names = [word for word in line.split() if word.endswith("/")]
        if line and not line.startswith(" "):
            parent = ROOT / names[0]
            assert parent.is_dir(), line
        elif line.startswith("  "):
            assert all((parent / name).is_dir() for name in names if name != "methods/"), line


def test_the_example_of_a_plug_in_is_a_row():
    example = (ROOT / "CONTRIBUTING.md").read_text().partition("```python\n")[2].partition("```")[0]
    names = {"__name__": "rows"}
    exec(compile(example, "CONTRIBUTING.md", "exec"), names)
    assert isinstance(names["PACKED"], CodecKind)
    assert names["PACKED"].settings(name="packed").bits == 4


def test_the_metadata_names_no_address():
    assert "urls" not in PROJECT
