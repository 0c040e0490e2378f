"""The parts of rsmtdf: no command line, no printing.

The packages follow the flow of the data: `scenes` (images and masks on disk), `views` (augmented crops of
them), `weights` and `teachers` (frozen models that turn views into tokens), `store` (those tokens on disk), `cache`
(the stores that experiments share), `student`, `training`, `evaluation`, `runs` (a training's folder), `maps` and
`charts`. Importing this package loads none of them.
"""

from rsmtdf_core import former_names

__version__ = "0.1.0"

former_names.install()
