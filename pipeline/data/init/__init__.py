"""Propose a manifest for a folder, with comments for the person who reviews it.

`looking` reads the folder; `labels` its labels drawn as shapes, of vector files (`shapes`) or annotation tools
(`annotations`), with the user's `choice`; `naming` gives classes names and colors, `text`
writes YAML, `windows` cuts large rasters, `drafting` assembles the manifest, and `checking` keeps copies of one image
in one split and refuses a dataset that `data check` would refuse.
"""

from pipeline.data.init.checking import checked_draft
from pipeline.data.init.choice import ShapeChoice
from pipeline.data.init.drafting import Draft, draft, require_free, write_manifest
from pipeline.data.init.looking import Looked, look
from pipeline.data.init.naming import NamedClass, parse_classes, parse_values, read_classes

__all__ = [
    "Draft",
    "Looked",
    "NamedClass",
    "ShapeChoice",
    "checked_draft",
    "draft",
    "look",
    "parse_classes",
    "parse_values",
    "read_classes",
    "require_free",
    "write_manifest",
]
