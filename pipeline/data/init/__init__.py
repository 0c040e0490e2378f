"""A folder becomes a manifest: looked at, guessed, told, and written with comments for a person to go on from.

`looking` reads the folder, `naming` gives classes names and colours, `text` writes YAML, `drafting` puts it together,
`checking` refuses what `data check` would.
"""

from pipeline.data.init.checking import require_sound
from pipeline.data.init.drafting import Draft, draft, require_free, write_manifest
from pipeline.data.init.looking import Looked, look
from pipeline.data.init.naming import NamedClass, read_classes

__all__ = [
    "Draft",
    "Looked",
    "NamedClass",
    "draft",
    "look",
    "read_classes",
    "require_free",
    "require_sound",
    "write_manifest",
]
