"""Packages of other people, as an installer leaves them."""

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """Write the metadata of an installed package into a folder of the search path.

    Args:
        folder: the folder, which is to hold the package's modules too.
        name: the package's name.
        points: its entry points: by group, import paths by name.
    """
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = (
        "\n".join((f"[{group}]", *(f"{point} = {value}" for point, value in named.items())))
        for group, named in points.items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(groups))
