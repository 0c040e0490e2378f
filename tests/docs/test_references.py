"""The generated references have every command, option and config key."""

import re

import typer

import rsmtdf
from cli.main import app
from docs.site.command_page import command_page
from docs.site.config_page import config_page
from pipeline.explain import all_keys, explain
from rsmtdf_core.kinds import FAMILIES, METHODS
from tests.docs.pages import ROOT


def commands(command, name="rsmtdf"):
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def test_every_command_has_a_section_with_its_options():
    sections = dict(
        re.findall(
            r"^#+ `(rsmtdf[^`]*)`\n(.*?)(?=^## |^### |\Z)", command_page(), re.MULTILINE | re.DOTALL
        )
    )
    listed = [
        (name, command)
        for name, command in commands(typer.main.get_command(app))
        if name != "rsmtdf"
    ]
    assert set(sections) == {name for name, _ in listed}
    assert len(listed) > 30
    for name, command in listed:
        for parameter in command.params:
            wanted = (
                parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
            )
            assert wanted is None or wanted.strip("[]") in sections[name], (name, wanted)


def test_help_texts_are_marked_up_as_html():
    page = command_page()
    assert "<code>--resume</code>" in page
    assert "[cyan]" not in page
    assert "&lt;name&gt;-probabilities.tif" in page  # not a tag


def test_every_config_key_has_a_section():
    page = config_page()
    headings = re.findall(r"^##+ (\S+) \{#(\S+)\}$", page, re.MULTILINE)
    assert [key for key, _ in headings] == list(dict.fromkeys(all_keys()))
    assert all(key == anchor for key, anchor in headings)


def test_a_key_has_description_type_default_and_role():
    [explanation] = explain("optimiser.lr")
    section = config_page().partition("### optimiser.lr {")[2].partition("###")[0]
    assert explanation.description[1:] in section
    assert explanation.type in section
    assert f"`{explanation.default}`" in section
    assert f"**{explanation.role}**" in section


def test_every_part_is_listed_where_it_is_chosen():
    page = config_page()
    for registry in (METHODS, FAMILIES):
        for kind in registry.values():
            assert f"* `{kind.name}`: {kind.summary}" in page
    [codec] = explain("teachers.codec.name")
    assert len(codec.choices) > 2
    for choice in codec.choices:
        name, _, summary = choice.partition(": ")
        assert f"* `{name}`: {summary}" in page


def test_the_python_reference_has_every_public_name():
    text = (ROOT / "docs" / "reference" / "python.md").read_text()
    names = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    public = {f"rsmtdf.{name}" for name in rsmtdf.__all__}
    public -= {"rsmtdf.__version__", "rsmtdf.cache", "rsmtdf.data"}
    public |= {f"rsmtdf.cache.{name}" for name in rsmtdf.cache.__all__}
    public |= {f"rsmtdf.data.{name}" for name in rsmtdf.data.__all__}
    assert public <= names
