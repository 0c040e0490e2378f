"""The user's choices for labels drawn as shapes, and the keys of a manifest that follow from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from rsmtdf_core.scenes.shapes.settings import AnnotationMasks, ShapeMasks


@dataclass(frozen=True)
class ShapeChoice:
    """The user's choices; None is guessed.

    Attributes:
        labels: path pattern of the labels below the root: a file, a folder, or with the fields of the images.
        field: the attribute with the classes.
        background: the class of pixels without a shape.
        annotated: "everywhere", the name of a layer, or the path of a file below the root.
        buffer: distance around lines and points; m for labels in map coordinates, else px.
        all_touched: whether all touched pixels are labeled.
        values: pairs of a value of shapes and its class, for values that are not the names of their classes.
        ignore: values whose pixels are ignored.
    """

    labels: str | None = None
    field: str | None = None
    background: str | None = None
    annotated: str | None = None
    buffer: float | None = None
    all_touched: bool = False
    values: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShapeGuess:
    """The proposed keys for labels that are drawn as geometries.

    Attributes:
        masks: path pattern of the labels.
        encoding: the keys of the encoding.
        values: number of shapes of each value.
        why: the reason, as text.
        labeled: the labeled images, posix paths relative to the root; None if only the georeferences tell.
    """

    masks: str
    encoding: ShapeMasks | AnnotationMasks
    values: Mapping[str, int]
    why: str
    labeled: frozenset[str] | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The background, and then the classes of the values in the order of the names."""
        encoding = self.encoding
        background = () if encoding.background is None else (encoding.background,)
        if isinstance(encoding, ShapeMasks) and encoding.field is None:
            return tuple(dict.fromkeys((*background, "foreground")))
        unused = {"", *encoding.ignore, *encoding.marks}
        named = sorted(
            {encoding.values.get(value, value) for value in self.values if value not in unused}
        )
        missing = (name for name in background if name not in named)
        return (*missing, *named)

    def shapes_of(self, name: str) -> int:
        """Return the number of shapes of a class."""
        to_class = self.encoding.values
        return sum(
            count for value, count in self.values.items() if to_class.get(value, value) == name
        )
