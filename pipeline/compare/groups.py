"""Which runs belong together: those whose settings that decide the result are the same but for the seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.compare.scoring import Scored
from pipeline.runs import RunRecord
from pipeline.runs.summary import codec_label
from rsmtdf_core.fingerprints import fingerprint

Flat = dict[str, object]  # dotted keys and JSON values that are no mappings

_OF_TEACHERS = (
    "objective.teachers",
    "objective.distillation.",
    "student.fusion.",
    "student.second_encoding",
    "student.translator_hidden",
)
# Names and places; what the manifest says is compared itself, wherever it lies.
_FREE = ("name", "seed", "data.manifest", "data.root", "runtime.", "evaluation.inference.batch")
_PRECISION = "runtime.precision"


@dataclass(frozen=True)
class Group:
    """Runs of one configuration.

    Attributes:
        settings: all that decides what they compute.
        runs: by seed.
    """

    settings: Flat
    runs: tuple[Scored, ...]


def group_runs(runs: Sequence[Scored]) -> list[Group]:
    """The groups of runs, in the order of their first runs."""
    members: dict[str, list[Scored]] = {}
    settings: dict[str, Flat] = {}
    for one in runs:
        deciding = deciding_settings(one.record)
        key = fingerprint(deciding)
        settings[key] = deciding
        members.setdefault(key, []).append(one)
    return [
        Group(
            settings[key], tuple(sorted(found, key=lambda one: (one.record.config.seed, one.name)))
        )
        for key, found in members.items()
    ]


def deciding_settings(record: RunRecord) -> Flat:
    """What decides a run's result beside its seed; settings that its method does not use are left out."""
    config = record.config
    plain = config.model_dump(mode="json", exclude={"teachers"})
    flat = {
        key: value
        for key, value in flat_settings(plain)
        if not key.startswith(_FREE) or key == _PRECISION
    }
    manifest = record.manifest.model_dump(
        mode="json", exclude={"title", "classes", "name", "notes"}
    )
    flat |= dict(flat_settings({"manifest": manifest}))
    if initial := record.facts.get("initial"):
        place, weights = Path(str(initial["path"])).name, initial.get("weights", "")
        flat["initial"] = f"{place} {weights} {str(initial['fingerprint'])[:8]}".replace("  ", " ")
    if not record.distils:
        return {key: value for key, value in flat.items() if not key.startswith(_OF_TEACHERS)}
    flat.pop("objective.distillation.teachers", None)
    return flat | _teachers(record)


def _teachers(record: RunRecord) -> Flat:
    """The settings of the teachers that are distilled from; codecs only where features are read."""
    config = record.config
    flat: Flat = {"teachers": "+".join(one.name for one in config.distilled)}
    for teacher in config.distilled:
        values = teacher.model_dump(mode="json", exclude={"name", "codec", "quality"})
        if config.objective.teachers == "cached":
            values["codec"] = codec_label(teacher.declared_codec)
        flat |= dict(flat_settings({"teachers": {teacher.name: values}}))
    return flat


def flat_settings(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings under dotted keys."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat_settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
