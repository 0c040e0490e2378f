"""A folder becomes a manifest: looked at, guessed, told, and written with comments for a person to go on from.

`looking` reads the folder, `naming` gives classes names and colours, `text` writes YAML, `drafting` puts it together,
`checking` keeps copies of one image in one split and refuses what `data check` would.
"""

from pipeline.data.init.checking import checked_draft
from pipeline.data.init.drafting import Draft, draft, require_free, write_manifest
from pipeline.data.init.looking import Looked, look
from pipeline.data.init.naming import NamedClass, read_classes

__all__ = [
    "Draft",
    "Looked",
    "NamedClass",
    "checked_draft",
    "draft",
    "look",
    "read_classes",
    "require_free",
    "write_manifest",
]
