"""Draw training windows at random positions in the area of the training windows of the grid.

A window is drawn among all positions at which it is inside of that area and overlaps no scored window of its image,
each with the same chance. So it keeps the splits and the buffers of the grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np

from rsmtdf_core.arrays import Mask, Rows
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.draws import rank
from rsmtdf_core.scenes.image_labels import ImageLabels
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.scene import Scene, Window, region
from rsmtdf_core.scenes.window_settings import RandomWindows, WindowSpec

_TRIES = 100  # draws for each window; those without a label and repeated ones do not count
Kind = Literal["labeled", "unlabeled"]


class WindowedImage(Protocol):
    """An image of the dataset whose header was read."""

    @property
    def frame(self) -> Frame | None:
        """Its size and georeference; None if it could not be opened."""
        ...

    @property
    def labels(self) -> ImageLabels | None:
        """Its labels, if they are shapes."""
        ...


class Positions(NamedTuple):
    """Rectangles of positions of a window, of its left upper corner.

    Attributes:
        left: the first column of each rectangle, int64 [N].
        top: its first row, int64 [N].
        width: its number of columns, int64 [N].
        height: its number of rows, int64 [N].
        labeled: whether windows at these positions overlap a labeled window, bool [N].
    """

    left: Rows
    top: Rows
    width: Rows
    height: Rows
    labeled: Mask


@dataclass(frozen=True)
class _Place:
    """An image with training windows.

    Attributes:
        name: the id of the image.
        scene: one of its training windows, with a mask if any has one.
        size: width and height of random windows, px.
        positions: the positions of random windows.
        labels: its labels, if they are shapes.
    """

    name: str
    scene: Scene
    size: tuple[int, int]
    positions: Positions
    labels: ImageLabels | None


def draw_windows(
    spec: WindowSpec,
    random: RandomWindows,
    training: Sequence[Scene],
    scored: Sequence[Scene],
    images: Mapping[str, WindowedImage],
) -> tuple[Scene, ...]:
    """Return training windows at random positions, by image and row.

    The windows of a smaller number are the first draws of a larger one.

    Args:
        spec: the windows of the grid.
        random: numbers and seed.
        training: the training windows of the grid.
        scored: the windows of other splits.
        images: the opened images by their ids, in order.

    Raises:
        DataError: If there is no position for a window with, or without, labels.
    """
    places = list(_places(spec, training, scored, images))
    drawn: list[tuple[int, Scene]] = []
    numbers: dict[Kind, int] = {"labeled": random.labeled, "unlabeled": random.unlabeled}
    for kind, number in numbers.items():
        found = list(_draw(places, kind, number, random.seed))
        if number and not found:
            raise DataError(
                f"the training windows have no place for {'a labeled' if kind == 'labeled' else 'an unlabeled'} window",
                where="window.random",
                remedy=f"remove `{kind}` under window.random in the manifest, or correct the splits and masks",
            )
        drawn += found
    drawn.sort(key=lambda item: (item[0], region(item[1])[:2]))
    return tuple(scene for _, scene in drawn)


def _places(
    spec: WindowSpec,
    training: Sequence[Scene],
    scored: Sequence[Scene],
    images: Mapping[str, WindowedImage],
) -> Iterator[_Place]:
    by_image: dict[str, tuple[list[Scene], list[Scene]]] = {}
    for number, scenes in enumerate((training, scored)):
        for scene in scenes:
            by_image.setdefault(_image_of(scene), ([], []))[number].append(scene)
    for name, image in images.items():
        inside, outside = by_image.get(name, ([], []))
        if not inside or image.frame is None:
            continue
        masked = [scene for scene in inside if scene.mask is not None]
        size = min(spec.size, image.frame.width), min(spec.size, image.frame.height)
        positions = free_positions(
            (image.frame.width, image.frame.height),
            size,
            *(
                np.array([region(scene) for scene in some], np.int64).reshape(-1, 4)
                for some in (inside, outside, masked)
            ),
        )
        yield _Place(name, (masked or inside)[0], size, positions, image.labels)


def _image_of(scene: Scene) -> str:
    return scene.id.rpartition("@")[0]


def free_positions(
    image: tuple[int, int], window: tuple[int, int], inside: Rows, outside: Rows, labeled: Rows
) -> Positions:
    """Return the positions at which a window is covered by some regions and overlaps none of others.

    Args:
        image: width and height of the image, px.
        window: width and height of the window, px.
        inside: top, left, height and width of the regions that cover it together, int64 [N, 4].
        outside: the regions that it does not overlap, int64 [M, 4].
        labeled: the regions with labels, int64 [K, 4].
    """
    every = np.concatenate([inside, outside])
    edges, starts, first, last = [], [], [], []
    for axis, (length, side) in enumerate(zip(image[::-1], window[::-1], strict=True)):
        # Between these edges, all pixels are in the same regions.
        edge = np.unique([0, length, *every[:, axis], *(every[:, axis] + every[:, axis + 2])])
        # Between these positions, a window overlaps the same parts.
        end = length - side + 1
        start = np.unique(np.clip([0, end, *edge, *(edge - side + 1)], 0, end))
        edges.append(edge)
        starts.append(start)
        first.append(np.searchsorted(edge, start[:-1], "right") - 1)
        last.append(np.searchsorted(edge, start[:-1] + side, "left"))
    closed = ~_covered(edges, inside) | _covered(edges, outside)
    free = _touched(closed, first, last) == 0
    near = _touched(_covered(edges, labeled), first, last) > 0
    row, column = np.nonzero(free)
    rows, columns = (np.diff(start) for start in starts)
    return Positions(
        starts[1][column], starts[0][row], columns[column], rows[row], near[row, column]
    )


def _covered(edges: Sequence[Rows], regions: Rows) -> Mask:
    """Return whether the parts between edges are in any of the regions, bool [rows, columns]."""
    covered = np.zeros([len(edge) - 1 for edge in edges], bool)
    top, left = (np.searchsorted(edge, regions[:, axis]) for axis, edge in enumerate(edges))
    bottom, right = (
        np.searchsorted(edge, regions[:, axis] + regions[:, axis + 2])
        for axis, edge in enumerate(edges)
    )
    for rows, columns in zip(map(slice, top, bottom), map(slice, left, right), strict=True):
        covered[rows, columns] = True
    return covered


def _touched(parts: Mask, first: Sequence[Rows], last: Sequence[Rows]) -> Rows:
    """Return the number of parts in ranges of rows and columns, int64 [ranges of rows, ranges of columns]."""
    sums = np.zeros((parts.shape[0] + 1, parts.shape[1] + 1), np.int64)
    sums[1:, 1:] = parts.cumsum(axis=0).cumsum(axis=1)
    (top, left), (bottom, right) = first, last
    return (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )


def _draw(
    places: Sequence[_Place], kind: Kind, number: int, seed: int
) -> Iterator[tuple[int, Scene]]:
    """Yield windows, each with the number of its place."""
    chosen = [np.flatnonzero(place.positions.labeled == (kind == "labeled")) for place in places]
    owner = np.repeat(np.arange(len(places)), list(map(len, chosen)))
    cells = np.concatenate([*chosen, np.zeros(0, np.int64)])
    counts = [
        place.positions.width[some] * place.positions.height[some]
        for place, some in zip(places, chosen, strict=True)
    ]
    ends = np.concatenate([*counts, np.zeros(0, np.int64)]).cumsum()
    seen: set[tuple[int, int, int]] = set()
    for attempt in range(number * _TRIES if len(ends) else 0):
        word = int.from_bytes(rank(seed, f"{kind} window {attempt}")[:8], "little")
        place = word * int(ends[-1]) >> 64
        cell = int(np.searchsorted(ends, place, "right"))
        image, index = int(owner[cell]), int(cells[cell])
        offset = place - (int(ends[cell - 1]) if cell else 0)
        positions = places[image].positions
        down, across = divmod(offset, int(positions.width[index]))
        left, top = int(positions.left[index]) + across, int(positions.top[index]) + down
        if (image, left, top) in seen:
            continue
        seen.add((image, left, top))
        scene = _scene(places[image], left, top, kind)
        if scene is None:
            continue
        yield image, scene
        number -= 1
        if not number:
            return


def _scene(place: _Place, left: int, top: int, kind: Kind) -> Scene | None:
    """Return a window; None if it should have labels and has none."""
    width, height = place.size
    labels = place.labels
    if (
        kind == "labeled"
        and labels is not None
        and not labels.mask.labeled((top, left, height, width))
    ):
        return None
    return replace(
        place.scene,
        id=f"{place.name}@{left},{top}",
        mask=place.scene.mask if kind == "labeled" else None,
        width=width,
        height=height,
        window=Window(left, top, width, height),
    )
