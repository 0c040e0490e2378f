"""The shape of a teacher's tokens, known without the teacher: the interface between both stages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenShape:
    """The tokens of one view from one teacher.

    Attributes:
        teacher: the teacher's name in the config.
        height: rows of the token grid.
        width: columns of the token grid.
        channels: numbers per token.
        input_size: side in px to which the teacher resizes a crop; None if it does not resize.
    """

    teacher: str
    height: int
    width: int
    channels: int
    input_size: int | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the token grid."""
        return self.height, self.width

    @property
    def record_shape(self) -> tuple[int, int, int]:
        """Shape [H, W, D] of one view's tokens."""
        return self.height, self.width, self.channels
