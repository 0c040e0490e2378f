"""Dockerfile and environment.yml name files, extras and Python versions that the project has."""

import re
import tomllib

import yaml

from tests.docs.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())


def test_extras_exist():
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)
    *_, packages = ENVIRONMENT["dependencies"]
    [named] = [re.fullmatch(r"\.\[(.*)\]", word)[1] for word in packages["pip"] if "[" in word]
    extra_lists = [
        extras,
        named,
        *re.findall(r"'\.\[(.*?)\]'", (ROOT / "docs/install.md").read_text()),
    ]
    for listed in extra_lists:
        assert set(listed.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_python_version_is_supported():
    [docker] = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    [conda] = [word for word in ENVIRONMENT["dependencies"] if str(word).startswith("python=")]
    for version in (docker, conda.removeprefix("python=")):
        assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_copied_files_reach_the_build():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    packages = {"rsmtdf", "rsmtdf_core", "pipeline", "cli", "data_manifests"}
    assert packages | {"setup.py", "pyproject.toml", "constraints.txt"} <= set(allowed)
    assert all(list(ROOT.glob(pattern)) for pattern in allowed)


def test_every_dependency_is_pinned():
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["docs"]]
    names = {re.match(r"[\w-]+", word)[0].lower().replace("_", "-") for word in wanted}
    assert names <= pinned | {"setuptools"}
