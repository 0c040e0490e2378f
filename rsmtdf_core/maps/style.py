"""Write the style of a map of class ids for QGIS, which applies `a.qml` when it opens `a.tif`."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from rsmtdf_core.files import atomic_file
from rsmtdf_core.words import one_line

_HEAD = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_END = b"</qgis>\n"


def write_style(path: Path, names: Sequence[str], colors: Sequence[tuple[int, int, int]]) -> None:
    """Write a paletted renderer of the first band with a color and a label for each class.

    Other values, such as the ignore id, have no entry, so QGIS draws nothing there.

    Args:
        path: the file, `<map>.qml`.
        names: names of the classes, by id.
        colors: RGB of the classes, by id.

    Raises:
        WriteError: If the file cannot be written.
    """
    root = ET.Element("qgis", version="3.28.0", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""},
    )
    ET.SubElement(renderer, "rasterTransparency")
    palette = ET.SubElement(renderer, "colorPalette")
    for number, (name, color) in enumerate(zip(names, colors, strict=True)):
        entry = {"value": str(number), "color": "#{:02x}{:02x}{:02x}".format(*color)}
        # XML has no control characters.
        ET.SubElement(palette, "paletteEntry", {**entry, "alpha": "255", "label": one_line(name)})
    # Ids must not be averaged when the map is drawn smaller.
    ET.SubElement(pipe, "rasterresampler", maxOversampling="1")
    ET.SubElement(root, "blendMode").text = "0"
    ET.indent(root)
    with atomic_file(path) as file:
        file.write(_HEAD + ET.tostring(root, encoding="utf-8") + b"\n")


def is_styled(path: Path) -> bool:
    """Whether a file of `write_style` is complete."""
    content = path.read_bytes()
    return content.startswith(_HEAD) and content.endswith(_END)
