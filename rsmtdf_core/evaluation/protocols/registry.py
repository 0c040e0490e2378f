"""The protocols by name: a new one is one file and one line here."""

from collections.abc import Sequence

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.protocols.base import Protocol
from rsmtdf_core.evaluation.protocols.dwl import DWL
from rsmtdf_core.evaluation.protocols.official import OFFICIAL
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF
from rsmtdf_core.validation import suggestion

PROTOCOLS = {one.name: one for one in (RSMTDF, OFFICIAL, DWL)}


def find_protocols(names: Sequence[str]) -> tuple[Protocol, ...]:
    """The protocols of these names in this order, each once.

    Raises:
        ConfigError: where a name is unknown.
    """
    for name in names:
        if name not in PROTOCOLS:
            raise ConfigError(
                f"unknown protocol '{name}'{suggestion(name, PROTOCOLS)}",
                where="--protocol",
                remedy=f"name one of {', '.join(PROTOCOLS)}",
            )
    return tuple(PROTOCOLS[name] for name in dict.fromkeys(names))
