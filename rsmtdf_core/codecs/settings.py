"""Base class of the settings of codecs."""

from rsmtdf_core.roles import ConfigSettings, OfCodec


class CodecSettings(ConfigSettings):
    """The codec of a teacher's tokens. Each codec adds its keys in a subclass.

    Attributes:
        name: the name of the codec.
    """

    name: OfCodec[str]
