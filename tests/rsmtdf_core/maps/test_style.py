"""A style has a color and a label for each class, as QGIS reads them."""

import xml.etree.ElementTree as ET

from rsmtdf_core.maps.style import is_styled, write_style


def test_each_class_has_its_color_and_name(tmp_path):
    names = ("road & <path>", 'roof "flat"', "Wald\x1b[2J", "水")
    colors = [(110, 193, 228), (60, 16, 152), (0, 0, 0), (255, 255, 255)]
    path = tmp_path / "a.qml"
    write_style(path, names, colors)
    renderer = ET.parse(path).getroot().find("pipe/rasterrenderer")
    assert (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    entries = renderer.findall("colorPalette/paletteEntry")
    assert [int(entry.get("value")) for entry in entries] == [0, 1, 2, 3]
    assert [entry.get("color") for entry in entries] == ["#6ec1e4", "#3c1098", "#000000", "#ffffff"]
    labels = [entry.get("label") for entry in entries]
    assert labels == ["road & <path>", 'roof "flat"', "Wald\\x1b[2J", "水"]
    assert is_styled(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_styled(path)
