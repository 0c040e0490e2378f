"""Propose a manifest for a folder, with comments for the person who reviews it.

`looking` reads the folder, `naming` gives classes names and colors, `text` writes YAML, `drafting` assembles the
manifest, and `checking` keeps copies of one image in one split and refuses a dataset that `data check` would refuse.
"""

from pipeline.data.init.checking import checked_draft
from pipeline.data.init.drafting import Draft, draft, require_free, write_manifest
from pipeline.data.init.looking import Looked, look
from pipeline.data.init.naming import NamedClass, parse_classes, read_classes

__all__ = [
    "Draft",
    "Looked",
    "NamedClass",
    "checked_draft",
    "draft",
    "look",
    "parse_classes",
    "read_classes",
    "require_free",
    "write_manifest",
]
