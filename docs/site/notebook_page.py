"""Notebooks as pages of the site (tests: tests/docs/test_notebooks.py)."""

import base64
from pathlib import Path
from typing import Any

import nbformat

_PICTURE = "image/png"


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Convert a notebook to Markdown.

    Returns:
        The Markdown, and the pictures of its outputs by file name.
    """
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            for data in map(_data, cell.outputs):
                if _PICTURE in data:
                    name = f"{path.stem}-{len(pictures)}.png"
                    pictures[name] = base64.b64decode(data[_PICTURE])
                    parts.append(f"![Output of the cell above]({name})")
                elif text := "".join(data.get("text/plain", "")).rstrip():
                    parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n", pictures


def _data(output: Any) -> dict[str, Any]:  # noqa: ANN401 - nbformat's nodes have no types
    """Return an output's representations by media type; printed text is `text/plain`."""
    if output.output_type == "stream":
        return {"text/plain": output.text}
    data: dict[str, Any] = output.get("data", {})
    return data
