"""Counts the pixels of windows as they are and as the padded crops that public code scores."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.base import Protocol
from rsmtdf_core.evaluation.scores import ProtocolScores
from rsmtdf_core.evaluation.scoring import ScenePrediction, count_confusion
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.padding import PaddedReader, border_scenes
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.student.segmenter import Segmenter
from rsmtdf_core.words import counted


def crop_readers(dataset: Dataset, rules: Sequence[Protocol]) -> dict[bool, SceneReader]:
    """Return the readers that protocols need, by `Protocol.padded`, in the order of the protocols."""
    return {
        rule.padded: PaddedReader(dataset) if rule.padded else SceneReader(dataset)
        for rule in rules
    }


def count_crops(
    student: Segmenter,
    readers: Mapping[bool, SceneReader],
    scenes: Sequence[Scene],
    inference: InferenceSettings,
    on_scene: Callable[[bool, ScenePrediction], None],
) -> dict[bool, PixelCounts]:
    """Count pixels by true and predicted class for each reader; only windows at a border are predicted for each.

    Args:
        student: the model; it is left in eval mode.
        readers: the readers, see `crop_readers`.
        scenes: the scenes, all with masks.
        inference: settings for predicting whole scenes.
        on_scene: called with a reader's key, and a scene with its prediction; once for each reader and scene.

    Returns:
        The counts by the readers' keys.
    """
    first = next(iter(readers.values()))
    border = border_scenes(first.dataset.manifest, scenes) if len(readers) > 1 else ()
    apart = {scene.id for scene in border}

    def on_shared(prediction: ScenePrediction) -> None:
        for key in readers:
            on_scene(key, prediction)

    inner = [scene for scene in scenes if scene.id not in apart]
    shared = count_confusion(student, first, inner, inference, on_shared)
    if not border:
        return dict.fromkeys(readers, shared)
    return {
        key: shared.plus(
            count_confusion(student, reader, border, inference, partial(on_scene, key))
        )
        for key, reader in readers.items()
    }


def score_crops(
    rule: Protocol, counts: PixelCounts, manifest: Manifest, scenes: Sequence[Scene]
) -> ProtocolScores:
    """Compute the scores of a protocol from the counts of its reader, with a description of the scenes."""
    text = crops_text(manifest, scenes, padded=rule.padded)
    return rule(counts, manifest).model_copy(update={"crops": text})


def crops_text(manifest: Manifest, scenes: Sequence[Scene], *, padded: bool) -> str:
    """Describe the scored scenes for reports: their number, their sizes, and the padding at a border.

    Args:
        manifest: the dataset's manifest.
        scenes: the scored scenes.
        padded: whether they are read by a `PaddedReader`.
    """
    if manifest.window is None:
        return f"{counted(len(scenes), 'image')} of {_sizes(scenes)}"
    size = manifest.window.size
    text = f"{counted(len(scenes), 'window')} of {size} x {size} px"
    border = len(border_scenes(manifest, scenes))
    if not border:
        return text
    if not padded:
        return f"{text}, {border} of them smaller at a border"
    if manifest.protocols.padding is None:
        return (
            f"{text}, {border} of them smaller at a border: unlike the crops of public code, these are not padded, as "
            "the manifest has no protocols.padding"
        )
    return (
        f"{text}, {border} of them padded at a border as in the published crops: image black, mask "
        f"{manifest.protocols.padding}"
    )


def _sizes(scenes: Sequence[Scene]) -> str:
    sizes = sorted({(scene.width, scene.height) for scene in scenes})
    (width, height), largest = sizes[0], sizes[-1]
    smallest = f"{width} x {height}"
    return f"{smallest} px" if len(sizes) == 1 else f"{smallest} to {largest[0]} x {largest[1]} px"
