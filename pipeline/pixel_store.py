"""Cached pixels of views: an optional store of the same kind as those of the teachers' tokens."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.plan import Experiment
from rsmtdf_core.arrays import Rows
from rsmtdf_core.cache.find import find_store
from rsmtdf_core.cache_names import MASKS
from rsmtdf_core.codecs import Declared, declare_codec
from rsmtdf_core.errors import StoreDamagedError, StoreMismatchError
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import file_sha256, fingerprint
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.scenes.files import mask_digests
from rsmtdf_core.scenes.images.companions import companions
from rsmtdf_core.scenes.masks import DECODING
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.copies import is_there
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.views.records import PIXELS, pixel_channels, pixel_record
from rsmtdf_core.views.render import ViewRenderer

FORMAT = FileFormat("list of masks")
IDENTITY_FORMAT = 1
"""Part of the address of every pixel store."""


def pixels_codec() -> Declared:
    """Return the declaration of the codec of pixels."""
    return declare_codec("uint8")


def pixels_identity(experiment: Experiment) -> dict[str, Any]:
    """Return the identity of pixels, which includes the mapping of masks to class ids."""
    manifest = experiment.dataset.manifest
    masks = [manifest.mask_encoding.model_dump(mode="json"), manifest.ignore_id]
    classes = [spec.model_dump(mode="json") for spec in manifest.classes]
    return {
        "format": IDENTITY_FORMAT,
        "library": "rsmtdf",
        "model": "views",
        "weights_sha256": "none",
        "masks": fingerprint([masks, classes]),
    }


def pixels_shape(experiment: Experiment) -> TokenShape:
    """Return the shape of a record."""
    settings = experiment.config.views
    channels = pixel_channels(settings, experiment.dataset.manifest.image_bands)
    return TokenShape(PIXELS, settings.crop, settings.crop, channels)


def find_pixels(experiment: Experiment) -> FeatureStore:
    """Find the store of the experiment's pixels. It is complete and matches the current masks.

    Raises:
        StoreError: If there is no such store.
    """
    cache, plan = experiment.config.runtime.cache_folder, experiment.plan
    store = find_store(cache, plan, pixels_identity(experiment), pixels_codec())
    changed = changed_masks(experiment, store)
    if changed:
        raise StoreMismatchError(
            f"the masks of {len(changed)} scenes are not those whose pixels are cached ({', '.join(changed[:3])})",
            where=store.path,
            remedy=f"restore the masks; or make their views again: {EXTRACT}",
        )
    return store


def changed_masks(experiment: Experiment, store: FeatureStore) -> list[str]:
    """Return the ids of labeled scenes whose mask differs from that in the store.

    Scenes with unchanged files are not opened. Other scenes are rendered and compared, because changed bytes, or
    another version of the decoding, may still result in the same class ids.
    """
    recorded = _recorded(store.path)
    digests = _digests(experiment)
    suspects = {name for name, digest in digests.items() if recorded.get(name) != digest}
    changed = _rendered_otherwise(experiment, store, suspects) if suspects else set()
    return [name for name in digests if name in changed]


def rows_of_changed_masks(experiment: Experiment, store: FeatureStore, rows: Rows) -> Rows:
    """Select from the plan's store rows those whose mask must be rendered again."""
    plan, changed = experiment.plan, set(changed_masks(experiment, store))
    scenes = [index for index, scene in enumerate(plan.scenes) if scene.id in changed]
    changed_rows: Rows = rows[plan.table["labeled"] & np.isin(plan.table["scene"], scenes)]
    return changed_rows


def record_masks(experiment: Experiment, store: FeatureStore) -> None:
    """Write the digests of the masks in the store's pixels."""
    recorded = _recorded(store.path)
    masks = recorded | _digests(experiment)
    if masks != recorded:
        write_json(store.path / MASKS, FORMAT.sealed({"sha256": masks}))


def _digests(experiment: Experiment) -> dict[str, str]:
    """Return digests of the files that determine the class ids of each labeled scene, except manifest and image.

    Stores of earlier versions contain only the sha256 of the mask's file.
    """
    root, plan = experiment.dataset.root, experiment.plan
    # Only scenes with masks in the store: fresh labeled views are not in the plan's table.
    shown = np.unique(plan.table["scene"][plan.table["labeled"]]).tolist()
    labeled = [plan.scenes[index] for index in shown]
    images = {
        scene.image: [digest for file in scene.files for digest in _companions_digest(root / file)]
        for scene in labeled
    }
    manifest = experiment.dataset.manifest
    masks = {
        scene.image: mask_digests(manifest, root, scene.mask, scene.image)
        for scene in {scene.image: scene for scene in labeled}.values()
        if scene.mask
    }
    return {
        scene.id: fingerprint([DECODING, masks[scene.image], images[scene.image]])
        for scene in labeled
        if scene.mask
    }


def _companions_digest(path: Path) -> list[str]:
    return [file_sha256(file) for file in companions(path)]


def _rendered_otherwise(
    experiment: Experiment, store: FeatureStore, suspects: Collection[str]
) -> set[str]:
    """Return the scenes with a stored labeled view that differs from the current rendering."""
    plan = experiment.plan
    rows = store.group.rows(plan)
    stored = ~np.isin(rows, store.missing_rows(rows))
    reader = FeatureReader(store, rows, check="always")
    renderer = ViewRenderer(SceneReader(experiment.dataset), plan)
    record = np.empty((1, *store.codec.stored_shape), np.uint8)
    changed: set[str] = set()
    of_scene = np.argsort(plan.table["scene"], kind="stable")
    for row in of_scene[(plan.table["labeled"] & stored)[of_scene]].tolist():
        scene = plan.scenes[plan.table["scene"][row]].id
        if scene in suspects and scene not in changed:
            try:
                reader.gather(np.array([row]), record)
            except StoreDamagedError:  # rendering it again restores it
                changed.add(scene)
            else:
                if not np.array_equal(record[0], pixel_record(renderer, row)):
                    changed.add(scene)
    return changed


def _recorded(store: Path) -> dict[str, str]:
    path = store / MASKS
    return read_masks(path) if is_there(path) else {}


def read_masks(path: Path) -> dict[str, str]:
    """Read the digest for each labeled scene, by id, from a `masks.json`.

    Raises:
        StoreDamagedError: If the file is damaged.
    """
    try:
        return dict(FORMAT.unsealed(read_json(path, StoreDamagedError), path)["sha256"])
    except (KeyError, TypeError, ValueError) as failure:
        raise StoreDamagedError(f"the masks cannot be read: {failure!r}", where=path) from None
