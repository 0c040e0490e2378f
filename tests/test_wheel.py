"""The wheel: one package, which also works in folders that contain another `cli` and `pipeline`."""

import os
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.demo.scenes import draw_scenes
from tests import test_plugin
from tests.pipeline.conftest import CONFIG
from tests.plugins import install

CHECKOUT = Path(__file__).resolve().parents[1]
NESTED = ("cli", "data_manifests", "pipeline", "rsmtdf_core")
FOLDERS = ("rsmtdf", *NESTED)

BUILD = "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"

COMMANDS = """
import sys
from pathlib import Path

import rsmtdf
from rsmtdf.__main__ import main

RUN = "runs/tiny-rs-mtdf-seed0"
COMMANDS = [
    ["--help"],
    ["config", "list"],
    ["data", "list"],
    # Worker processes find the functions that they run by the names of their modules.
    ["extract-features", "tiny.yaml", "--set", "runtime.extract_workers=2"],
    ["cache", "ls", "--cache", "cache"],
    ["train", "tiny.yaml", "--max-steps", "2", "--set", "runtime.workers=1"],
    ["evaluate", RUN],
    ["predict", RUN, *map(str, Path("scenes/images").glob("*0.png")), "--out", "maps"],
    ["report", RUN, "--scenes", "1"],
]

if __name__ == "__main__":
    for words in COMMANDS:
        sys.argv = ["rsmtdf", *words]
        try:
            main()
        except SystemExit as end:
            assert not end.code, words
    assert rsmtdf.load_student(RUN).class_names[0] == "water"
    assert set(rsmtdf.open_features("tiny.yaml")[0]["tokens"]) == {"vit", "cnn"}
    bare = {"cli", "data_manifests", "pipeline", "rsmtdf_core"} & set(sys.modules)
    assert not bare, bare
"""

PLUGGED = """
import rsmtdf

print(rsmtdf.extract_features("toy.yaml").stores[0].new)
run = rsmtdf.train("toy.yaml", max_steps=1).run
print(rsmtdf.evaluate(run, protocol="halved").protocol)
"""

IMPORTS = """
from importlib import import_module
from pkgutil import walk_packages

import rsmtdf

for module in walk_packages(rsmtdf.__path__, "rsmtdf."):
    import_module(module.name)
    print(module.name)
"""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """setup.py as a module."""
    spec = spec_from_file_location("setup_of_rsmtdf", CHECKOUT / "setup.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources: a build leaves files among them."""
    folder = tmp_path_factory.mktemp("sources")
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
    for path in CHECKOUT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    return unpacked(built(sources, "build_wheel"), tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Another project, whose packages have the names of our folders; to import one of them fails."""
    folder = tmp_path / "project"
    for name in NESTED:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('of another project')")
    return folder


def built(sources: Path, kind: str) -> Path:
    """The result of `build_wheel` or `build_sdist` for a folder of sources."""
    folder = sources / kind
    folder.mkdir()
    run(sources, [sys.executable, "-c", BUILD, kind, str(folder)])
    [path] = folder.iterdir()
    return path


def unpacked(archive: Path, folder: Path) -> Path:
    shutil.unpack_archive(archive, folder, "zip" if archive.suffix == ".whl" else None)
    return folder


def run(folder: Path, command: list[str], *packages: Path) -> str:
    """Output of a command that runs in `folder` and imports from these folders first, such as the unpacked wheel."""
    path = {"PYTHONPATH": os.pathsep.join(map(str, packages))} if packages else {}
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | path
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def interpreter(version: str, needs: str = "") -> str:
    """A Python of this version, on the PATH or of pyenv, that can run the statement `needs`."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    known = [sys.executable, shutil.which(f"python{version}")]
    known += sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python")))
    check = f"import sys; assert '%d.%d' % sys.version_info[:2] == '{version}'; {needs}"
    for python in filter(None, known):
        if not subprocess.run([python, "-c", check], capture_output=True, check=False).returncode:
            return python
    return pytest.skip(f"no Python {version}" + (f" that can {needs}" if needs else ""))


@pytest.mark.reliability
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_verbs_work_next_to_a_cli_and_a_pipeline(version, wheel, project):
    python = interpreter(version, "import torch, zarr, rasterio")
    draw_scenes(project / "scenes", 14, 72, seed=3)
    text = CONFIG.replace("SCENES", "scenes").replace("CACHE", "cache").replace("RUNS", "runs")
    (project / "tiny.yaml").write_text(text)
    (project / "commands.py").write_text(COMMANDS)
    run(project, [python, "commands.py"], wheel)
    assert list((project / "maps").rglob("*-panel.png"))
    assert (project / "report.html").is_file()


def test_all_modules_can_be_imported_next_to_a_cli_and_a_pipeline(wheel, project):
    names = run(project, [sys.executable, "-c", IMPORTS], wheel).split()
    modules = [path for name in FOLDERS for path in (CHECKOUT / name).rglob("*.py")]
    assert len(names) == len(modules) - 1  # of rsmtdf itself there is no line


def test_a_plug_in_of_another_package_works(wheel, project):
    packages = project / "packages"
    shutil.copytree(CHECKOUT / "tests" / "plugin" / "toy", packages / "toy")
    install(packages, "toy", test_plugin.POINTS)
    draw_scenes(project / "scenes", 14, 72, seed=3)
    text = test_plugin.CONFIG.replace("SCENES", "scenes").replace("CACHE", "cache")
    (project / "toy.yaml").write_text(text.replace("RUNS", "runs"))
    output = run(project, [sys.executable, "-c", PLUGGED], wheel, packages)
    assert output.split() == ["20", "halved"]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_each_version_of_python_reads_it_without_a_warning(version, wheel, project):
    python = [interpreter(version), "-W", "error"]
    run(project, [*python, "-m", "compileall", "-q", "-f", str(wheel)])
    run(project, [*python, "-c", "import rsmtdf; rsmtdf.train, rsmtdf.cache.plan"], wheel)


def test_modules_of_a_project_with_names_of_former_modules_are_not_replaced(wheel, tmp_path):
    for name in NESTED:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "signals.py").write_text(f"from rsmtdf import {name} as ours")
    uses = "".join(f"import {name}.signals; {name}.signals.ours\n" for name in NESTED)
    run(tmp_path, [sys.executable, "-c", f"import rsmtdf.__main__\n{uses}"], wheel)


def test_the_wheel_installs_one_package_with_all_files(wheel, sources):
    [package] = (path for path in wheel.iterdir() if path.suffix != ".dist-info")
    expected = {Path(name) / path for name in NESTED for path in files(sources / name)}
    assert package.name == "rsmtdf"
    assert set(files(package)) == expected | set(files(sources / "rsmtdf"))


def test_a_wheel_from_the_source_distribution_is_the_same(wheel, sources, tmp_path):
    archive = built(sources, "build_sdist")
    [folder] = unpacked(archive, tmp_path / "source").iterdir()
    assert files(unpacked(built(folder, "build_wheel"), tmp_path / "wheel")) == files(wheel)


MODULES = frozenset({"cli", "cli.main", "pipeline", "pipeline.config", "rsmtdf_core"})
# § is where the prefix belongs, ¶ where the bound name does.
REFERENCES = (
    "from §pipeline.config import load_config",
    "from  §rsmtdf_core import (\n    errors,\n    words as w,\n)",
    "from §cli import main, pipeline",
    "from §pipeline.anything import *",
    "import §rsmtdf_core¶",
    "import os, §pipeline.config as config, sys",
    "import os, §pipeline¶, §cli¶",
    "ä = {'ö': '§pipeline.config:load_config'}",
    'a = """§cli.main"""',
    "call(r'§cli.main', 'ü', \"§pipeline.config\")",
)
OTHERS = (
    "from . import pipeline",
    "from .pipeline.config import load_config",
    "from rsmtdf.pipeline.config import load_config",
    "from pipelines.config import a",
    "import clip, pipeline_config",
    "import numpy as pipeline",
    "a = 'pipeline'",
    "a = 'pipeline.config is read'",
    "a = 'pipeline.unknown'",
    "a = b'pipeline.config'",
    "a = f'{a}pipeline.config'",
    "a = pipeline.config.load_config",
    "pass  # from pipeline.config import load_config",
    "'''from pipeline.config import load_config'''",
    "raise ValueError from pipeline",
)


@given(
    st.lists(st.sampled_from(REFERENCES + OTHERS), max_size=8),
    st.sampled_from(["", "ß = '€'; "]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_references_are_prefixed_and_all_else_is_kept(build, statements, before, end):
    text = "".join(f"if a:\n    {before}{statement}\n" for statement in statements)
    text = text.replace("\n", end)
    source = text.replace("§", "").replace("¶", "").encode()
    expected = text.replace("§", "rsmtdf.")
    for name in NESTED:
        expected = expected.replace(f"{name}¶", f"{name} as {name}")
    assert build.prefixed(source, MODULES) == expected.encode()
    assert build.prefixed(expected.encode(), MODULES) == expected.encode()


@pytest.mark.parametrize(
    "source",
    [
        "import pipeline.config",
        "import os, cli.main",
        "a = f'pipeline.{name}'",
        "a = 'pipeline' '.config'",
        "a = '\\x70ipeline.config'",
        "from \\\n    pipeline import config",
    ],
)
def test_references_that_take_no_prefix_are_refused(build, source):
    with pytest.raises(SyntaxError):
        build.prefixed(source.encode(), MODULES)
