"""Output of `rsmtdf config explain` and `rsmtdf config kinds`."""

import pytest
from typer.testing import CliRunner

from cli import console
from cli.config import app
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import CODECS, FAMILIES, METHODS, PROTOCOLS
from rsmtdf_core.roles import EXPLANATIONS, Role


@pytest.fixture
def run(monkeypatch):
    """Runs `rsmtdf config`; its lines without the spaces at their ends."""
    monkeypatch.setattr(console.out, "_width", 200)

    def invoke(*arguments):
        result = CliRunner().invoke(app, arguments)
        if result.exception:
            raise result.exception
        return [line.rstrip() for line in result.output.splitlines()]

    return invoke


def test_a_key_is_explained_by_its_description_type_default_and_role(run):
    assert run("explain", "student.fusion.student_weight") == [
        "student.fusion.student_weight",
        "  weight of the student's features, in [0, 1]; initial value of mode attention.",
        "  type     number, >= 0.0, <= 1.0",
        "  default  0.8",
        f"  decides  result with teachers: {EXPLANATIONS[Role.TAUGHT]}",
    ]


def test_a_key_that_names_a_part_lists_the_parts(run):
    lines = run("explain", "objective.method")
    for kind in METHODS.values():
        assert f"           {kind.name}: {kind.summary}" in lines
    assert "  default  rs-mtdf" in lines


def test_a_group_lists_its_keys(run):
    assert run("explain", "views.blur")[-1] == "  keys     p, sigma"


def test_an_unknown_key_is_refused_with_the_near_one(run):
    with pytest.raises(ConfigError, match=r"did you mean 'views\.crop'"):
        run("explain", "views.corp")


def test_every_part_is_listed_with_its_kind(run):
    lines = run("kinds")
    expected = [
        (registry.noun, kind.name, kind.summary)
        for registry in (METHODS, FAMILIES, CODECS, PROTOCOLS)
        for kind in registry.values()
    ]
    assert len(lines) == len(expected)
    for line, (noun, name, summary) in zip(lines, expected, strict=True):
        assert line.startswith(noun)
        assert name in line
        assert line.endswith(summary)
