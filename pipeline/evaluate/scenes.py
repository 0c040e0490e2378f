"""Collects the scores of each scene, and the predictions that pictures show (tests: test_run.py)."""

from collections.abc import Sequence
from typing import NamedTuple

from rsmtdf_core.arrays import Pixels
from rsmtdf_core.evaluation.interval import SceneBootstrap
from rsmtdf_core.evaluation.protocols.base import Protocol
from rsmtdf_core.evaluation.reliability import ReliabilityCounter
from rsmtdf_core.evaluation.scores import SceneScores, worst_scenes
from rsmtdf_core.evaluation.scoring import ScenePrediction
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.scene import Scene

WORST_SCENES = 4
"""Number of scenes with an error map."""


class Shown(NamedTuple):
    """A scene of a picture.

    Attributes:
        scene: the scene.
        ids: its predicted class ids, uint8 [H, W].
    """

    scene: Scene
    ids: Pixels


class SceneLog:
    """Collects scenes as they are predicted, and keeps the predictions of a few.

    Args:
        rule: the protocol of the scenes' scores.
        manifest: the dataset's manifest.
        chosen: scenes whose predictions are kept, whatever their scores.
        temperatures: temperatures at which confidences are compared with accuracies.
    """

    def __init__(
        self,
        rule: Protocol,
        manifest: Manifest,
        chosen: Sequence[Scene],
        temperatures: Sequence[float],
    ) -> None:
        self._rule, self._manifest = rule, manifest
        self._chosen = {scene.id for scene in chosen}
        self._kept: dict[str, Shown] = {}
        self._scores: dict[str, SceneScores] = {}
        self._bootstrap = SceneBootstrap(len(manifest.classes))
        self._counters = [
            ReliabilityCounter(temperature, manifest.ignore_id) for temperature in temperatures
        ]

    def add(self, prediction: ScenePrediction) -> None:
        """Add a scene with its prediction."""
        scene = prediction.scene
        self._scores[scene.id] = self._rule.scene(scene.id, prediction.counts, self._manifest)
        self._bootstrap.add(prediction.counts)
        for counter in self._counters:
            counter.add(prediction.logits, prediction.truth)
        self._kept[scene.id] = Shown(scene, prediction.ids)
        needed = self._chosen | {score.scene for score in self._worst()}
        self._kept = {name: shown for name, shown in self._kept.items() if name in needed}

    def _worst(self) -> list[SceneScores]:
        known = [self._scores[name] for name in self._kept]
        return worst_scenes(known, WORST_SCENES)

    @property
    def scores(self) -> tuple[SceneScores, ...]:
        """The scores of all scenes, in order."""
        return tuple(self._scores.values())

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean IoU over scenes; None with few scenes."""
        return self._bootstrap.interval(self._rule, self._manifest)

    @property
    def chosen(self) -> list[Shown]:
        """The chosen scenes, in order."""
        return [shown for name, shown in self._kept.items() if name in self._chosen]

    @property
    def worst(self) -> list[Shown]:
        """The scenes with the largest shares of wrong pixels, at most `WORST_SCENES`; none without errors."""
        return [self._kept[score.scene] for score in worst_scenes(self.scores, WORST_SCENES)]

    @property
    def counters(self) -> tuple[ReliabilityCounter, ...]:
        """The reliability at each temperature."""
        return tuple(self._counters)
