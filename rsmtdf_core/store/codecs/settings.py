"""What all codecs' settings have in common."""

from rsmtdf_core.roles import ConfigSettings, OfCodec


class CodecSettings(ConfigSettings):
    """A codec and its own keys: each codec extends this class by them.

    Attributes:
        name: the name of the codec.
    """

    name: OfCodec[str]
