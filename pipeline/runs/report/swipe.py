"""Panels to swipe over: the image, the truth and the predictions of a few scenes, one above the other."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.evaluate.run import Split, load_run
from pipeline.reporter import Reporter
from pipeline.runs import RunRecord
from pipeline.runs.report.markup import Html, data_uri, element
from rsmtdf_core.evaluation.pictures import class_entries
from rsmtdf_core.evaluation.scoring import evenly, predict_ids, scored_scenes
from rsmtdf_core.scenes.find import Scene, find_scenes
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader

Pixels = npt.NDArray[np.uint8]

_LONGEST = 720  # px, the longer side of a panel; phones and desktops show no more of it
_QUALITY = 85


class Layer(NamedTuple):
    """One picture of a panel: its name, and the picture as a data URI."""

    name: str
    uri: str


class Panel(NamedTuple):
    """Pictures of one scene, all of one size.

    Attributes:
        scene: its id.
        size: width and height of the pictures, px.
        layers: image, truth, and a prediction of each group.
    """

    scene: str
    size: tuple[int, int]
    layers: tuple[Layer, ...]


def make_panels(
    shown: Sequence[tuple[str, RunRecord]],
    split: Split,
    count: int,
    root: Path | None,
    reporter: Reporter,
) -> list[Panel]:
    """Predict some scenes of a split with the best model of each run.

    Args:
        shown: runs with the name of their group.
        split: whose scenes are shown.
        count: how many, one at least, at even distances through the split.
        root: the data root, where it is not that of the first run's config any more.
        reporter: shows progress.

    Raises:
        RsmtdfError: where a scene, or the whole checkpoint of a run, is not there.
    """
    first = shown[0][1]
    dataset = find_scenes(first.manifest, root or first.config.data.root)
    scenes = evenly(scored_scenes(dataset.splits.get(split, ())), count)
    reader = SceneReader(dataset)
    layers = {scene.id: list(_given(reader, scene)) for scene in scenes}
    with reporter.bar("predict scenes", len(shown) * len(scenes)) as bar:
        for label, record in shown:
            run = load_run(record.folder.path)
            inference = run.config.evaluation.inference
            for scene in scenes:
                ids = predict_ids(run.student, reader.image(scene), inference)
                layers[scene.id].append(_classes(f"Prediction, {label}", ids, first.manifest))
                bar.advance()
    return [
        Panel(scene.id, _fitted(scene.width, scene.height), tuple(layers[scene.id]))
        for scene in scenes
    ]


def panel(one: Panel) -> Html:
    """A panel as HTML: pictures side by side, which the page's script turns into a swipe."""
    width, height = one.size
    layers = [
        element(
            "figure",
            element("img", src=uri, alt=f"{name} of scene {one.scene}", width=width, height=height),
            element("figcaption", name),
            class_="layer",
            data_name=name,
        )
        for name, uri in one.layers
    ]
    stage = element("div", *layers, class_="stage", style=f"--width: {width}; --height: {height}")
    return element("section", element("h3", one.scene), stage, class_="swipe")


def legend(manifest: Manifest) -> Html:
    """The classes' colours and names."""
    return element(
        "ul",
        *(
            element("li", element("span", class_="swatch", style=f"background: {color}"), name)
            for name, color in class_entries(manifest, ignored=True)
        ),
        class_="legend",
    )


def _given(reader: SceneReader, scene: Scene) -> Iterator[Layer]:
    size = _fitted(scene.width, scene.height)
    image = Image.fromarray(reader.picture(scene)).resize(size, Image.Resampling.BICUBIC)
    yield Layer("Image", data_uri(_encoded(image, "JPEG"), "image/jpeg"))
    yield _classes("Truth", reader.mask(scene), reader.dataset.manifest)


def _classes(name: str, ids: Pixels, manifest: Manifest) -> Layer:
    picture = Image.fromarray(ids)
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(manifest.classes)] = manifest.palette
    picture.putpalette(colors.tobytes())
    height, width = ids.shape
    resized = picture.resize(_fitted(width, height), Image.Resampling.NEAREST)
    return Layer(name, data_uri(_encoded(resized, "PNG"), "image/png"))


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, quality=_QUALITY, optimize=True)
    return file.getvalue()


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
