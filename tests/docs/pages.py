"""The pages that a person reads: the site's, README.md and CONTRIBUTING.md."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")


def shell_lines(page: Path) -> Iterator[str]:
    """Iterate over the lines of the page's code blocks that are commands of a shell."""
    for language, block in _FENCE.findall(page.read_text()):
        if language in {"", "bash", "sh"}:
            yield from (line.strip() for line in block.splitlines())


def inline_code(page: Path) -> Iterator[str]:
    """Iterate over the code within sentences."""
    for code in _INLINE.findall(_FENCE.sub("", page.read_text())):
        yield " ".join(code.split())


def yaml_blocks(page: Path) -> list[str]:
    """The page's code blocks of YAML."""
    return [block for language, block in _FENCE.findall(page.read_text()) if language == "yaml"]
