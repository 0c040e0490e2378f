"""Writes a STAC item (1.1) of a map, with its model in the fields of the extension MLM (1.5)."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pipeline.predict.inputs import Job, OutputKind
from pipeline.trained import TrainedRun
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.files import write_json
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.images.gdal_decoder import open_dataset
from rsmtdf_core.scenes.images.source import File, source_files
from rsmtdf_core.scenes.manifest import Manifest

EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.5.1/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
_GEOTIFF = "image/tiff; application=geotiff"
_TYPES: Mapping[OutputKind, tuple[str, str]] = {
    "map": (_GEOTIFF, "data"),
    "panel": ("image/png", "overview"),
    "style": ("application/xml", "metadata"),
    "probabilities": (_GEOTIFF, "data"),
    "confidence": (_GEOTIFF, "data"),
    "polygons": ("application/geo+json", "data"),
    "geopackage": ("application/geopackage+sqlite3", "data"),
}
"""Media type and role of each output file."""


def write_item(job: Job, trained: TrainedRun, inference: InferenceSettings) -> None:
    """Write the item of a finished map, whose raster must have longitude and latitude.

    `datetime` is the modification time of the image, as few rasters state when they were taken; for an image at an
    address, that of the map. Paths are relative to the item.

    Args:
        job: the input and its output files, including `stac`.
        trained: the run.
        inference: the windows that were predicted.

    Raises:
        WriteError: If the file cannot be written.
    """
    path, manifest = job.files["stac"], trained.manifest
    with open_dataset(job.files["map"]) as dataset:
        frame = Frame(dataset.width, dataset.height, dataset.crs, dataset.transform)
    dated = job.first if isinstance(job.first, Path) else job.files["map"]
    changed = datetime.fromtimestamp(dated.stat().st_mtime, UTC)
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": path.stem.removesuffix("-stac"),
        **_place(frame),
        "properties": {
            "datetime": changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "title": f"Land-cover map of {job.first.name}",
            **_projection(frame),
            **_model(trained, inference),
            "bands": [{"name": name} for name in _band_names(trained)],
        },
        "links": [
            {"rel": "derived_from", "href": _href(file, path)} for file in source_files(job.source)
        ],
        "assets": {
            **_assets(job, manifest),
            "model": {
                "href": _relative(trained.checkpoint.path / f"{trained.weights}.safetensors", path),
                "type": "application/octet-stream",
                "title": f"weights of the run {trained.folder.path.name}",
                "roles": ["mlm:model"],
                "mlm:artifact_type": "safetensors",
            },
        },
    }
    write_json(path, item)


def is_item(path: Path) -> bool:
    """Whether a file is a complete item."""
    try:
        return bool(json.loads(path.read_bytes())["type"] == "Feature")
    except (ValueError, TypeError, KeyError):
        return False


def _href(file: File, item: Path) -> str:
    return _relative(file, item) if isinstance(file, Path) else str(file)


def _relative(target: Path, item: Path) -> str:
    return Path(os.path.relpath(target.resolve(), item.parent.resolve())).as_posix()


def _place(frame: Frame) -> dict[str, Any]:
    """Return the outline of the raster in longitude and latitude, and its bounds."""
    from rasterio.warp import transform_geom

    corners = [(0, 0), (0, frame.height), (frame.width, frame.height), (frame.width, 0), (0, 0)]
    a, b, c, d, e, f = frame.transform[:6]
    ring = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
    outline = {"type": "Polygon", "coordinates": [ring]}
    bounds = frame.bounds_in("EPSG:4326")
    assert bounds is not None, "the raster has no longitude and latitude"
    return {
        "geometry": json.loads(json.dumps(transform_geom(frame.crs, "EPSG:4326", outline))),
        "bbox": list(bounds),
    }


def _projection(frame: Frame) -> dict[str, Any]:
    code = frame.crs.to_authority()
    known = {"proj:code": ":".join(code)} if code else {"proj:code": None}
    return {
        **known,
        **({} if code else {"proj:wkt2": frame.crs.to_wkt()}),
        "proj:shape": [frame.height, frame.width],
        "proj:transform": list(frame.transform)[:6],
    }


def _slug(name: str) -> str:
    """Return a name of ASCII letters, digits, "-" and "_" alone."""
    return re.sub(r"[^0-9A-Za-z_-]+", "-", name).strip("-") or "class"


def _classes(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "value": number,
            "name": _slug(spec.name),
            "title": spec.name,
            "description": spec.name,
            "color_hint": spec.color.removeprefix("#").upper(),
        }
        for number, spec in enumerate(manifest.classes)
    ]


def _band_names(trained: TrainedRun) -> list[str]:
    bands = trained.manifest.bands
    further = () if bands is None else bands.indices[SHOWN:]
    return ["red", "green", "blue", *(f"band {index}" for index in further)]


def _model(trained: TrainedRun, inference: InferenceSettings) -> dict[str, Any]:
    """Describe the model in the fields of MLM."""
    side, bands = inference.window, _band_names(trained)
    task = ["semantic-segmentation"]
    return {
        "mlm:name": f"rsmtdf-{_slug(trained.folder.path.resolve().name)}",
        "mlm:architecture": f"{trained.config.student.encoder} with a DPT head",
        "mlm:tasks": task,
        "mlm:framework": "PyTorch",
        "mlm:framework_version": str(torch.__version__),
        "mlm:total_parameters": sum(tensor.numel() for tensor in trained.student.parameters()),
        "mlm:input": [
            {
                "name": "window",
                "bands": bands,
                "input": {
                    "shape": [-1, len(bands), side, side],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "uint8",
                },
                "resize_type": None,
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "tasks": task,
                "result": {
                    "shape": [-1, len(trained.manifest.classes), side, side],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": _classes(trained.manifest),
            }
        ],
        "mlm:hyperparameters": {
            "method": trained.config.objective.method,
            "steps": trained.checkpoint.state["step"],
            "checkpoint": trained.checkpoint.fingerprint,
            "weights": trained.weights,
            "inference": inference.describe(),
        },
    }


def _assets(job: Job, manifest: Manifest) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    for kind, (media, role) in _TYPES.items():
        if kind in job.files:
            href = _relative(job.files[kind], job.files["stac"])
            assets[kind] = {"href": href, "type": media, "roles": [role]}
    assets["map"] |= {
        "data_type": "uint8",
        "nodata": manifest.ignore_id,
        "classification:classes": _classes(manifest),
    }
    return assets
