"""The parts of rsmtdf: no command line, no printing.

The packages follow the flow of the data: `manifests` (which scenes exist), `views` (augmented crops of
them), `teachers` (frozen models that turn views into tokens), `store` (those tokens on disk), `student`,
`training` and `evaluation`. Importing this package loads none of them.
"""

__version__ = "0.1.0"
