"""Propose a manifest for a folder, with comments for the person who reviews it.

`looking` reads the folder, `shapes` its labels that are geometries, `naming` gives classes names and colors, `text`
writes YAML, `windows` cuts large rasters, `drafting` assembles the manifest, and `checking` keeps copies of one image
in one split and refuses a dataset that `data check` would refuse.
"""

from pipeline.data.init.checking import checked_draft
from pipeline.data.init.drafting import Draft, draft, require_free, write_manifest
from pipeline.data.init.looking import Looked, look
from pipeline.data.init.naming import NamedClass, parse_classes, read_classes
from pipeline.data.init.shapes import ShapeChoice

__all__ = [
    "Draft",
    "Looked",
    "NamedClass",
    "ShapeChoice",
    "checked_draft",
    "draft",
    "look",
    "parse_classes",
    "read_classes",
    "require_free",
    "write_manifest",
]
