"""A scene: one image of a dataset, or a window of a larger raster (tests: test_find.py)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.scenes.images.orientation import Region
from rsmtdf_core.scenes.images.source import Source, source_of
from rsmtdf_core.scenes.window_settings import WindowSpec

_POSITION = re.compile(r"@\d+,\d+$")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a raster, px."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of a dataset, or a window of a larger raster.

    Attributes:
        id: the path fields joined by "/", and "@left,top" for windows.
        image: posix path of the image relative to the data root; of its first file, if several are stacked.
        mask: posix path of the mask relative to the data root; None without a mask.
        width: width of the scene (of its window), px.
        height: height of the scene (of its window), px.
        window: its window in the raster; None if the scene is the whole image.
        sha256: digest of the image's files and the choice of bands, see `with_digests`; empty until computed.
        stacked: posix paths of the further files whose bands follow, if several are stacked.
    """

    id: str
    image: str
    mask: str | None
    width: int
    height: int
    window: Window | None = None
    sha256: str = ""
    stacked: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Posix paths of the image's files relative to the data root."""
        return (self.image, *self.stacked)

    def source(self, root: Path) -> Source:
        """Where the image is read from."""
        return source_of(root, self.files)


@dataclass(frozen=True, slots=True)
class ScenePair:
    """An image and its mask file, posix paths relative to the root, not opened yet.

    Attributes:
        id: the path fields joined by "/".
        fields: the values of the path fields.
        image: the image's file, or the first of its files.
        mask: the mask; None without one.
        stacked: the image's further files, if several are stacked.
    """

    id: str
    fields: dict[str, str]
    image: str
    mask: str | None
    stacked: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Posix paths of the image's files relative to the data root."""
        return (self.image, *self.stacked)

    def source(self, root: Path) -> Source:
        """Where the image is read from."""
        return source_of(root, self.files)


def region(scene: Scene) -> Region:
    """Return top, left, height and width of a scene in its image, px."""
    left, top = (0, 0) if scene.window is None else (scene.window.left, scene.window.top)
    return top, left, scene.height, scene.width


def image_id(scene: str) -> str:
    """Return the id without the position of a window; the name of an image may also have an @."""
    return _POSITION.sub("", scene)


def cut_scenes(pair: ScenePair, size: tuple[int, int], spec: WindowSpec | None) -> Iterator[Scene]:
    """Yield the scene of a pair whose image has `size` (width, height), or its windows row by row."""
    width, height = size
    if spec is None:
        yield Scene(pair.id, pair.image, pair.mask, width, height, stacked=pair.stacked)
        return
    for top in _starts(height, spec):
        for left in _starts(width, spec):
            window = Window(left, top, min(spec.size, width - left), min(spec.size, height - top))
            yield Scene(
                f"{pair.id}@{left},{top}",
                pair.image,
                pair.mask,
                window.width,
                window.height,
                window,
                stacked=pair.stacked,
            )


def _starts(length: int, spec: WindowSpec) -> range:
    """Starts of the windows along one side; the last window reaches or passes the border."""
    more = max(0, -(-(length - spec.size) // spec.stride))
    return range(0, more * spec.stride + 1, spec.stride)
