"""Find protocols by name."""

from collections.abc import Sequence

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.protocols.base import Protocol
from rsmtdf_core.kinds import PROTOCOLS
from rsmtdf_core.validation import suggestion


def find_protocols(names: Sequence[str]) -> tuple[Protocol, ...]:
    """Return the protocols with these names, in this order and without duplicates.

    Raises:
        ConfigError: If a name is unknown, or a protocol cannot be imported.
    """
    for name in names:
        if name not in PROTOCOLS:
            raise ConfigError(
                f"unknown protocol '{name}'{suggestion(name, PROTOCOLS)}",
                where="--protocol",
                remedy=f"name one of {', '.join(PROTOCOLS)}",
            )
    return tuple(_load(name) for name in dict.fromkeys(names))


def _load(name: str) -> Protocol:
    protocol: Protocol = PROTOCOLS[name].load()
    return protocol
