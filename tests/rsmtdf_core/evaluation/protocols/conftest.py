"""Pixels to score, generated or given, and manifests that define the scored classes."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.scenes.manifest import Manifest

IGNORED = 255
NAMES = ("water", "road", "forest", "clutter", "soil", "snow")


class Pixels(NamedTuple):
    """Truth and prediction of each pixel, with the manifest that they are scored by."""

    pairs: list[tuple[int, int]]
    manifest: Manifest

    @property
    def kept(self) -> list[tuple[int, int]]:
        return [(truth, predicted) for truth, predicted in self.pairs if truth != IGNORED]

    @property
    def counts(self) -> PixelCounts:
        counts = PixelCounts.zeros(len(self.manifest.classes))
        for truth, predicted in self.pairs:
            if truth == IGNORED:
                counts.ignored[predicted] += 1
            else:
                counts.matrix[truth, predicted] += 1
        return counts


def manifest_of(classes: int, unscored: tuple[str, ...] = (), **protocols: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "name": "small",
            "title": "Small",
            "classes": [{"name": name, "color": f"#0000{i:02X}"} for i, name in enumerate(NAMES)][
                :classes
            ],
            "unscored": unscored,
            "protocols": protocols,
            "images": "images/{name}.png",
            "masks": "masks/{name}.png",
            "mask_encoding": {"encoding": "indices"},
            "splits": {"train": {}},
        }
    )


@st.composite
def drawn_pixels(draw: st.DrawFn) -> Pixels:
    """A few pixels of two to six classes, some ignored; at least one has a class that every rule scores."""
    classes = draw(st.integers(2, 6))
    unscored = draw(st.sets(st.sampled_from(NAMES[1:classes])))
    ignores = draw(st.none() | st.sets(st.sampled_from(NAMES[1:classes])))
    truths = st.sampled_from([*range(classes), IGNORED])
    pairs = draw(st.lists(st.tuples(truths, st.integers(0, classes - 1)), max_size=60))
    first = (0, draw(st.integers(0, classes - 1)))
    manifest = manifest_of(
        classes,
        tuple(unscored),
        official_ignores=ignores,
        dwl_counts_ignored=draw(st.booleans()),
    )
    return Pixels([first, *pairs], manifest)


def many_pixels(seed: int, unscored: tuple[str, ...] = ()) -> Pixels:
    """4000 pixels of four classes, of which about half are right and a tenth is ignored."""
    random = np.random.default_rng(seed)
    truth = random.choice([0, 1, 2, 3, IGNORED], 4000, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    noise = random.integers(0, 4, 4000)
    predicted = np.where((random.random(4000) < 0.5) & (truth != IGNORED), truth, noise)
    pairs = list(zip(truth.tolist(), predicted.tolist(), strict=True))
    return Pixels(pairs, manifest_of(4, unscored))


def count(
    pairs: list[tuple[int, int]], truth: int | None = None, predicted: int | None = None
) -> int:
    """Count the pixels of this truth and this prediction; None matches any."""
    return sum((truth in (None, a)) and (predicted in (None, b)) for a, b in pairs)
