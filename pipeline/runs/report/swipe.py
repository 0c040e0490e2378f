"""Creates panels with a swipe between the image, the truth and the predictions of a scene."""

import base64
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from pipeline.reporter import Reporter
from pipeline.runs import RunRecord
from pipeline.trained import load_run
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.charts.panels import error_colors
from rsmtdf_core.evaluation.scoring import evenly, predict_ids
from rsmtdf_core.scenes.colors import picture_colors
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene

_LONGEST = 720  # px, longer side of a panel; screens show panels no larger than this
_QUALITY = 85
_NAMED = 3  # classes in the description of a map


class PanelPicture(NamedTuple):
    """A picture of a panel: its name, its content in words, and its data URI."""

    name: str
    content: str
    uri: str


class Panel(NamedTuple):
    """The pictures of a scene, all of the same size.

    Attributes:
        scene: id of the scene.
        size: width and height of the pictures, px.
        pictures: image, truth, and the errors and the prediction of each group.
        worst: whether the scene is shown because of its errors.
    """

    scene: str
    size: tuple[int, int]
    pictures: tuple[PanelPicture, ...]
    worst: bool = False


def make_panels(
    shown: Sequence[tuple[str, RunRecord]],
    dataset: Dataset,
    known: Sequence[Scene],
    count: int,
    reporter: Reporter,
    worst: Sequence[str] = (),
) -> list[Panel]:
    """Predict evenly spaced scenes, and the worst ones, with the best model of each run.

    Args:
        shown: the runs with the labels of their groups.
        dataset: the dataset of the runs.
        known: its scored scenes.
        count: maximum number of evenly spaced scenes, at least 1.
        reporter: shows progress.
        worst: ids of scenes with many errors; those that are not evenly spaced ones follow in this order.

    Raises:
        RsmtdfError: If a scene or the checkpoint of a run is missing.
    """
    manifest = dataset.manifest
    even = evenly(known, count)
    by_id = {scene.id: scene for scene in known if scene not in even}
    scenes = [*even, *(by_id[name] for name in worst if name in by_id)]
    reader = SceneReader(dataset)
    pictures = {scene.id: list(_given(reader, scene)) for scene in scenes}
    predictions: dict[str, list[PanelPicture]] = {scene.id: [] for scene in scenes}
    with reporter.bar("predict scenes", len(shown) * len(scenes)) as bar:
        for label, record in shown:
            run = load_run(record.folder.path)
            inference = run.config.evaluation.inference
            for scene in scenes:
                ids = predict_ids(run.student, reader.image(scene), inference)
                pictures[scene.id].append(_errors(label, reader.mask(scene), ids, manifest))
                predictions[scene.id].append(_classes(f"Prediction, {label}", ids, manifest))
                bar.advance()
    return [
        Panel(
            scene.id,
            _fitted(scene.width, scene.height),
            # A prediction is last, because the swipe begins with the first and the last picture.
            (*pictures[scene.id], *predictions[scene.id]),
            worst=scene.id in by_id,
        )
        for scene in scenes
    ]


def _given(reader: SceneReader, scene: Scene) -> Iterator[PanelPicture]:
    size = _fitted(scene.width, scene.height)
    image = Image.fromarray(reader.picture(scene)).resize(size, Image.Resampling.BICUBIC)
    yield PanelPicture("Image", "aerial image", _data_uri(_encoded(image, "JPEG"), "image/jpeg"))
    yield _classes("Truth", reader.mask(scene), reader.dataset.manifest)


def _classes(name: str, ids: Pixels, manifest: Manifest) -> PanelPicture:
    picture = Image.fromarray(ids)
    picture.putpalette(picture_colors(manifest).table.tobytes())
    height, width = ids.shape
    resized = picture.resize(_fitted(width, height), Image.Resampling.NEAREST)
    uri = _data_uri(_encoded(resized, "PNG"), "image/png")
    return PanelPicture(name, _shares(ids, manifest), uri)


def _shares(ids: Pixels, manifest: Manifest) -> str:
    """Describe a map by the shares of its most frequent classes."""
    counts = np.bincount(ids.ravel(), minlength=256)[: len(manifest.classes)]
    names = manifest.class_names
    order = [int(index) for index in np.argsort(-counts, kind="stable")[:_NAMED] if counts[index]]
    shares = [f"{100 * counts[index] / counts.sum():.0f} % {names[index]}" for index in order]
    return ", ".join(shares) or "no labeled pixel"


def _errors(label: str, truth: Pixels, ids: Pixels, manifest: Manifest) -> PanelPicture:
    colors = Image.fromarray(error_colors(truth, ids, manifest))
    height, width = ids.shape
    # Averaged colors show where errors are dense; nearest pixels would hide most of them.
    resized = colors.resize(_fitted(width, height), Image.Resampling.BOX)
    labeled = truth != manifest.ignore_id
    share = 100 * np.mean((truth != ids)[labeled]) if labeled.any() else 0.0
    uri = _data_uri(_encoded(resized, "PNG"), "image/png")
    return PanelPicture(f"Errors, {label}", f"{share:.1f} % of the labeled pixels are wrong", uri)


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, quality=_QUALITY, optimize=True)
    return file.getvalue()


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _data_uri(content: bytes, kind: str) -> str:
    """Encode content of media type `kind` as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
