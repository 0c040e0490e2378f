"""The files about the project agree with each other."""

import ast
import re
import tomllib
from collections.abc import Iterator
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


_NAMED = re.compile(r"\(tests: (\S+\.py)\)\.$")


def _tests_of(module: Path, docstring: str) -> Path | None:
    """The test file of a module, a path below ROOT; None if there is none."""
    mirrored = Path("tests") / module.parent
    if named := _NAMED.search(docstring.partition("\n")[0]):
        # Beside the mirrored file, or else in the nearest folder above.
        candidates = [folder / named[1] for folder in (mirrored, *mirrored.parents[:-1])]
    else:
        package = mirrored.parent / f"test_{module.parent.name}.py"
        candidates = [mirrored / f"test_{module.stem}.py", package]
    return next((path for path in candidates if (ROOT / path).is_file()), None)


def _modules_with_functions() -> Iterator[tuple[Path, str]]:
    """The modules that compute something, as paths below ROOT, with their docstrings."""
    for package in ("rsmtdf_core", "pipeline", "cli", "rsmtdf"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            if any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree)):
                yield path.relative_to(ROOT), ast.get_docstring(tree) or ""


def test_every_module_that_computes_has_its_tests():
    modules = list(_modules_with_functions())
    assert len(modules) > 200
    without = [str(module) for module, docstring in modules if _tests_of(module, docstring) is None]
    assert not without, (
        f"modules without tests: {', '.join(without)}. Write tests/<folder>/test_<module>.py for each, or "
        "tests/<folder above>/test_<folder>.py for all modules of a folder. If another file tests a module, end the "
        'first line of its docstring with the name of that file, as in "Decode pictures (tests: test_matrix.py)."; '
        "the name is a path from the mirrored folder of tests or from a folder above it."
    )


def test_a_named_test_file_has_to_exist():
    assert _tests_of(Path("rsmtdf_core/scenes/images/new.py"), "Decode pictures.") is None
    named = "Decode pictures (tests: {})."
    for name, path in (
        ("test_matrix.py", "tests/rsmtdf_core/scenes/images/test_matrix.py"),
        ("test_masks.py", "tests/rsmtdf_core/scenes/test_masks.py"),
        ("pipeline/test_config.py", "tests/pipeline/test_config.py"),
        ("test_absent.py", None),
    ):
        module = Path("rsmtdf_core/scenes/images/new.py")
        assert _tests_of(module, named.format(name)) == (path and Path(path))
