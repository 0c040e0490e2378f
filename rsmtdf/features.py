"""Cached tokens with their crops and masks, as a dataset for other training code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pipeline.plan import plan_experiment, require_views
from pipeline.token_store import find_tokens
from rsmtdf.configs import load_config
from rsmtdf.progress import LoggingReporter
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.group import ViewGroup
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.training.data import weak_view
from rsmtdf_core.views.render import ViewRenderer

if TYPE_CHECKING:
    import numpy.typing as npt

    from rsmtdf.configs import ConfigSource, Overrides
    from rsmtdf_core.teachers.settings import TeacherSettings
    from rsmtdf_core.tokens import TokenShape
    from rsmtdf_core.views.known import Table


class FeatureDataset(Dataset[dict[str, Any]]):
    """Views with their teachers' tokens. Thread-safe, and compatible with the workers of a `DataLoader`.

    An item is a dictionary:

    * `tokens`: tokens by teacher, float32 [h, w, D].
    * `scene`, `number`, `labeled`: the view's scene, its number among the scene's views, and whether it is labeled.
    * `image`: the pixels that the teachers saw, with all bands, uint8 [bands, crop, crop]; only from a config.
    * `mask`: class ids, int64 [crop, crop]; the manifest's ignore id on padding, and for all pixels of unlabeled
      views; only from a config.

    Args:
        readers: a reader for each teacher, by row of `views`.
        views: table of views, `drawn_dtype` [views].
        scenes: ids of the scenes, by their number in `views`.
        renderer: renders the views; None omits images and masks.
        crops: crc32 of each view's crop as the teachers saw it, uint32 [views]; only needed with a renderer.
    """

    def __init__(
        self,
        readers: Mapping[str, FeatureReader],
        views: Table,
        scenes: tuple[str, ...],
        renderer: ViewRenderer | None = None,
        crops: npt.NDArray[np.uint32] | None = None,
    ) -> None:
        self._readers = readers
        self._views = views
        self._scenes = scenes
        self._renderer = renderer
        self._crops = crops

    @property
    def shapes(self) -> dict[str, TokenShape]:
        """Shape of the tokens of each teacher."""
        return {name: reader.shape for name, reader in self._readers.items()}

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a view.

        Raises:
            IndexError: If there is no such view.
            StoreDamagedError: If a record is damaged.
            StoreMismatchError: If the scene has changed since the extraction.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"expected an index below {len(self)}, found {index}")
        row = index % len(self)
        view = self._views[row]
        item = {
            "tokens": {
                name: torch.from_numpy(reader.tokens(row)) for name, reader in self._readers.items()
            },
            "scene": self._scenes[view["scene"]],
            "number": int(view["number"]),
            "labeled": bool(view["labeled"]),
        }
        return item if self._renderer is None else item | self._pixels(self._renderer, row)

    def _pixels(self, renderer: ViewRenderer, row: int) -> dict[str, torch.Tensor]:
        weak_view(renderer, row, self._crops)  # checks that the pixels match the tokens
        image = torch.from_numpy(renderer.taught_view(row).transpose(2, 0, 1).copy())
        if self._views[row]["labeled"]:
            mask = torch.from_numpy(renderer.mask(row)).long()
        else:
            ignored = renderer.reader.dataset.manifest.ignore_id
            mask = torch.full(image.shape[1:], ignored, dtype=torch.int64)
        return {"image": image, "mask": mask}


def open_config(
    config: ConfigSource, overrides: Overrides, teachers: Iterable[str] | None
) -> FeatureDataset:
    """Open the views of a config's training scenes; see `rsmtdf.open_features`."""
    experiment = plan_experiment(load_config(config, overrides))
    require_views(experiment)
    for sentence in experiment.cautions:
        LoggingReporter().warn(sentence)
    plan, check = experiment.plan, experiment.config.runtime.check
    readers, crops = {}, None
    for teacher in _select(experiment.config.teachers, teachers):
        store = find_tokens(experiment, teacher)
        rows = store.require(plan)
        readers[teacher.name] = FeatureReader(store, rows, check)
        crops = store.group.crops(rows)
    renderer = ViewRenderer(SceneReader(experiment.dataset), plan)
    scenes = tuple(scene.id for scene in plan.scenes)
    return FeatureDataset(readers, plan.table, scenes, renderer, crops)


def open_store(path: Path) -> FeatureDataset:
    """Open all views of a store, without pixels; see `rsmtdf.open_features`."""
    store = FeatureStore.open(path, ViewGroup.at(path.parent))
    name = store.shape.teacher
    store.require_tokens()
    rows = store.require_all()
    scenes = tuple(key.id for key in store.group.scenes)
    return FeatureDataset({name: FeatureReader(store, rows)}, store.group.table[rows], scenes)


def _select(
    teachers: tuple[TeacherSettings, ...], names: Iterable[str] | None
) -> tuple[TeacherSettings, ...]:
    """Select teachers by name.

    Raises:
        ConfigError: If the config has no teachers, or a name is unknown.
    """
    by_name = {teacher.name: teacher for teacher in teachers}
    if not by_name:
        raise ConfigError("the config names no teacher", remedy="list some under `teachers`")
    requested = tuple(by_name if names is None else names)
    if unknown := [name for name in requested if name not in by_name]:
        raise ConfigError(
            f"no teacher is named {', '.join(unknown)}", remedy=f"name some of {', '.join(by_name)}"
        )
    return tuple(by_name[name] for name in requested)
