"""Keys of a manifest for masks that are drawn as geometries (tests: test_settings.py)."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rsmtdf_core.scenes.patterns import pattern_fields
from rsmtdf_core.settings import LONGEST_PATH, Settings
from rsmtdf_core.validation import suggestion

EVERYWHERE = "everywhere"
NONEMPTY = "nonempty"


def _checked(pattern: str) -> str:
    pattern_fields(pattern, required=False)
    return pattern


SharedPattern = Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(_checked)]
"""A path pattern that may lack fields, so that several images share a file."""


def _text(value: object) -> object:
    """YAML reads the value 1 of an attribute as a number."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else value


def _texts(values: object) -> object:
    match values:
        case dict():
            return {_text(value): name for value, name in values.items()}
        case list() | tuple():
            return [_text(value) for value in values]
    return values


Values = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class AnnotatedArea(Settings):
    """The area in which everything was labeled: polygons of another layer or file, or of the labels' layer.

    Attributes:
        layer: layer of these polygons; None for the only layer of `file`.
        file: path pattern of their file, below the data root, with some of the fields of the images pattern; None for
            the file of the labels.
        values: values of the class field that mark them, if they are in the layer of the labels.
    """

    layer: str | None = None
    file: SharedPattern | None = None
    values: Values = ()

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        other = self.layer is not None or self.file is not None
        if other == bool(self.values):
            raise ValueError("annotated needs either layer and file, or values of the class field")
        return self


class DrawnMasks(Settings):
    """Masks drawn as shapes: the keys that all formats of labels share.

    A pixel belongs to a polygon if its center is inside. Where shapes of several classes overlap, the class that is
    last in `order` wins; shapes of ignored values win over all classes.

    Attributes:
        values: classes by the value of a shape, as text; class names need no entry.
        ignore: values whose pixels are ignored; "" is a missing value.
        background: class of the pixels of the annotated area that no shape covers; None: they are ignored.
        order: class names, the first below the others; classes that it omits are below these. By default the order of
            the classes.
        all_touched: label all pixels that a shape touches, instead of those with their center inside.
        buffer: distance around lines and points.
    """

    values: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(default_factory=dict)
    ignore: Values = ()
    background: str | None = None
    order: tuple[str, ...] = ()
    all_touched: bool = False
    buffer: float | None = Field(default=None, gt=0, le=1e6)

    @property
    def tolerant(self) -> bool:
        """Whether values that no class has are ignored rather than refused."""
        return False

    @property
    def shared(self) -> bool:
        """Whether several images may share a file."""
        return True

    @property
    def marks(self) -> tuple[str, ...]:
        """Values of the shapes that mark the annotated area instead of a class."""
        annotated = getattr(self, "annotated", None)
        return annotated.values if isinstance(annotated, AnnotatedArea) else ()

    def require_classes(self, names: tuple[str, ...]) -> None:
        """Check the class names in the settings against those of the manifest.

        Raises:
            ValueError: If a class is unknown.
        """
        background = () if self.background is None else (self.background,)
        for key, used in {
            "values": tuple(self.values.values()),
            "background": background,
            "order": self.order,
        }.items():
            require_named(key, used, names)

    def ranks(self, names: tuple[str, ...]) -> dict[str, int]:
        """Return the place of each class from the bottom, 0 upward."""
        below = [name for name in names if name not in self.order]
        return {name: rank for rank, name in enumerate([*below, *self.order])}


class ShapeMasks(DrawnMasks):
    """Masks drawn as geometries in GeoPackage, Shapefile or GeoJSON files, in map coordinates.

    Attributes:
        encoding: the name of the encoding.
        field: attribute with the class of a feature, whose values are those of `values`; None if all features belong
            to the only class except `background`.
        layer: layer of the labels; None for the only one.
        crs: coordinate reference system of the labels, such as EPSG:32640, if their file has none or a wrong one.
        annotated: where everything was labeled: everywhere, or an area, whose outside is ignored. None: pixels
            without a geometry are ignored.

    The `buffer` is a distance on the ground, m.
    """

    encoding: Literal["shapes"]
    field: str | None = Field(default=None, min_length=1)
    layer: str | None = None
    crs: str | None = None
    annotated: Literal["everywhere"] | AnnotatedArea | None = None

    @model_validator(mode="after")
    def _states_where_background_is(self) -> Self:
        if self.background is not None and self.annotated is None:
            raise ValueError(
                "background needs annotated, the area in which everything was labeled: everywhere, "
                "{layer: NAME}, {file: NAME} or {values: [NAME]}"
            )
        return self

    @model_validator(mode="after")
    def _has_values_of_a_field(self) -> Self:
        if self.field is None and (self.values or self.ignore or self.marks):
            raise ValueError(
                "values, ignore and annotated.values need field, the attribute they are values of"
            )
        return self

    def require_classes(self, names: tuple[str, ...]) -> None:
        """Check the class names in the settings against those of the manifest.

        Raises:
            ValueError: If a class is unknown, or no class remains for features without a field.
        """
        super().require_classes(names)
        if self.field is None and len(self.drawn(names)) != 1:
            raise ValueError(
                f"mask_encoding has no field, so one class except background is expected, found "
                f"{', '.join(self.drawn(names)) or 'none'}: name the attribute of the classes"
            )

    def drawn(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the classes except the background."""
        return tuple(name for name in names if name != self.background)


class AnnotationMasks(DrawnMasks):
    """Masks drawn as shapes in the pixels of their images, in files of annotation tools.

    Attributes:
        encoding: the format of the files: COCO instances, or LabelMe. The values are the names of COCO's categories, or
            LabelMe's labels.
        annotated: where everything was labeled: everywhere, in each image that the files list; nonempty, in those
            with at least one shape; or inside the shapes of certain values. None: pixels without a shape are ignored.

    The `buffer` is a distance in pixels. An image that no file lists is not labeled.
    """

    encoding: Literal["coco", "labelme"]
    annotated: Literal["everywhere", "nonempty"] | AnnotatedArea | None = None

    @model_validator(mode="after")
    def _states_where_background_is(self) -> Self:
        if self.background is not None and self.annotated is None:
            raise ValueError(
                "background needs annotated, the images in which everything was labeled: everywhere, nonempty "
                "(images with at least one shape) or {values: [NAME]}"
            )
        return self

    @property
    def shared(self) -> bool:
        """Whether several images may share a file; LabelMe has one for each image."""
        return self.encoding != "labelme"

    @model_validator(mode="after")
    def _has_an_area_by_value(self) -> Self:
        if isinstance(self.annotated, AnnotatedArea) and not self.marks:
            raise ValueError(
                f"annotated: {self.encoding} files have no layers, so name values of its shapes: {{values: [NAME]}}"
            )
        return self


def require_named(key: str, used: Iterable[str], names: tuple[str, ...]) -> None:
    """Refuse names under a key of mask_encoding that no class has.

    Raises:
        ValueError: If there is one.
    """
    for name in used:
        if name not in names:
            raise ValueError(
                f"mask_encoding.{key} names no class: '{name}'{suggestion(name, names)}"
            )
