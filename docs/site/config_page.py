"""The reference of all config keys, as Markdown from the settings classes (tests: tests/docs/test_references.py)."""

from collections.abc import Iterator

from pipeline.explain import Explanation, all_keys, explain
from rsmtdf_core.roles import EXPLANATIONS

_INTRODUCTION = """\
# Config keys

A config is one YAML file for all stages. `rsmtdf config show CONFIG` prints it with all defaults, and
`rsmtdf config explain KEY` explains one key. `--set KEY=VALUE` overrides a key; a teacher is addressed by its name:
`--set teachers.dino.codec=int8`.

Each key has a role, which determines what depends on its value:
"""


def config_page() -> str:
    """Return a page with a heading for each key."""
    roles = (f"* **{role}**: {text}" for role, text in EXPLANATIONS.items())
    sections = (_section(key) for key in dict.fromkeys(all_keys()))
    return "\n".join([_INTRODUCTION, *roles, "\n## General keys\n", *sections])


def _section(key: str) -> str:
    """Return the heading of a key, and its explanation for each part that has the key."""
    explanations = explain(key)
    is_group = explanations[0].role is None
    level = "##" if is_group and "." not in key else "###"
    return "\n".join([f"{level} {key} {{#{key}}}\n", *map(_explained, explanations)])


def _explained(explanation: Explanation) -> str:
    return "\n".join(f"{paragraph}\n" for paragraph in _paragraphs(explanation) if paragraph)


def _paragraphs(explanation: Explanation) -> Iterator[str]:
    text = explanation.description
    yield text[:1].upper() + text[1:]
    split = (choice.partition(": ") for choice in explanation.choices)
    yield "\n".join(f"* `{name}`: {summary}" for name, _, summary in split)
    if explanation.role is not None:
        required = explanation.default.startswith("none, ")
        default = "required" if required else f"default `{explanation.default}`"
        accepted = "one of these" if explanation.choices else f"`{explanation.type}`"
        yield f"{accepted}, {default}, decides **{explanation.role}**"
