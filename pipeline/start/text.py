"""A proposal as the YAML of a config, with the reasons as comments (tests: test_settings.py)."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from pipeline.start.values import Choice, Proposal

_WIDTH = 2**31  # characters; keeps YAML from breaking a value into lines


def config_text(proposal: Proposal) -> str:
    """Return the config as YAML."""
    head = "# Proposed by `rsmtdf start`. Change any key; `rsmtdf config explain KEY` explains it."
    return "\n".join([head, *_lines(proposal.choices, 0)]) + "\n"


def value_text(value: Any) -> str:  # noqa: ANN401 - of a type of YAML
    """Return a value as YAML in one line."""
    if isinstance(value, float):
        return f"{value:g}" if "e" not in f"{value:g}" else f"{value:.10f}".rstrip("0")
    text = yaml.safe_dump(
        value, default_flow_style=True, width=_WIDTH, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _lines(choices: Sequence[Choice], depth: int) -> Iterator[str]:
    """Yield the lines of keys whose first `depth` parts were written, in the order of their groups."""
    indent = "  " * depth
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        groups.setdefault(choice.key.split(".")[depth], []).append(choice)
    for name, members in groups.items():
        first = members[0]
        if len(first.key.split(".")) == depth + 1:
            comment = f"    # {json.dumps(first.reason)[1:-1]}" if first.reason else ""
            yield f"{indent}{name}: {value_text(first.value)}{comment}"
        else:
            yield f"{indent}{name}:"
            yield from _lines(members, depth + 1)
