"""The record of the run and the settings that made the maps in a folder (tests: test_resuming.py)."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.predict.inputs import Job
from pipeline.predict.members import facts_of
from pipeline.predict.predictor import Predictor
from pipeline.predict.settings import PredictSettings
from rsmtdf_core.errors import DataError
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.maps.polygons import EXACT
from rsmtdf_core.roles import Role, deciding

RECORD = "predictions.json"
FORMAT = FileFormat("record of how maps are made")


def facts_of_maps(predictor: Predictor) -> dict[str, Any]:
    """Return the facts that decide the content of the files."""
    first, *others = (facts_of(run) for run in predictor.members.runs)
    facts: dict[str, Any] = {
        "format": FORMAT.number,
        **first,
        "inference": deciding(predictor.inference, Role.SCORING),
        "bands": None if predictor.bands is None else predictor.bands.model_dump(mode="json"),
        "cog": predictor.settings.cog,
        **_detail(predictor.settings),
    }
    if predictor.settings.images:
        facts["images"] = list(predictor.settings.images)
    if predictor.settings.assets:
        facts["assets"] = list(predictor.settings.assets)
    if others:
        facts["ensemble"] = others
    if predictor.settings.soft:
        facts["temperature"] = predictor.temperature
    return facts


def _detail(settings: PredictSettings) -> dict[str, Any]:
    """Return how polygons are generalized; nothing for exact ones, as in folders of earlier versions."""
    detail = settings.generalization
    return {} if detail == EXACT else {"polygons": asdict(detail)}


def _read_record(path: Path) -> dict[str, Any]:
    return FORMAT.current(read_json(path, DataError), path, DataError)


def claim(out: Path, jobs: Sequence[Job], facts: dict[str, Any], *, overwrite: bool) -> None:
    """Record the facts in `out`, and refuse a folder whose maps were made with other facts.

    Raises:
        DataError: If the folder has files that were made with other facts, or without a record of them.
    """
    record = out / RECORD
    if not overwrite:
        existing = [path for job in jobs for path in job.files.values() if path.exists()]
        has_record = record.is_file()
        changes: list[str] = []
        if has_record:
            known = _read_record(record)
            # Maps do not depend on the temperature, nor do folders of earlier versions record one.
            fitted = known.pop("temperature", 1.0)
            facts = {"temperature": fitted, **facts}
            if not _has_soft_files(out):
                fitted = facts["temperature"]
            changes = list(differences({**known, "temperature": fitted}, facts))
        if changes or (existing and not has_record):
            raise DataError(
                "the folder has maps of another run or of other settings: " + "; ".join(changes)
                if changes
                else f"{len(existing)} output files exist already, the first is {existing[0]}",
                where=out,
                remedy="name another folder with --out, or replace the files with --overwrite",
            )
    if facts.get("temperature") == 1.0:
        del facts["temperature"]  # as in folders of earlier versions
    write_json(record, facts)


def _has_soft_files(out: Path) -> bool:
    """Whether the folder has probabilities or confidences."""
    return any(
        path for kind in ("probabilities", "confidence") for path in out.rglob(f"*-{kind}.tif")
    )
