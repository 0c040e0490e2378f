"""Which runs belong together: those whose settings that decide the result are the same but for the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs import RunRecord
from pipeline.runs.compare.scoring import ScoredRun
from pipeline.runs.summary import codec_label
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.roles import Role, deciding, flat

Flat = dict[str, object]  # dotted keys and JSON values that are no mappings


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration.

    Attributes:
        settings: all that decides what they compute.
        runs: by seed.
    """

    settings: Flat
    runs: tuple[ScoredRun, ...]


def group_runs(runs: Sequence[ScoredRun]) -> list[RunGroup]:
    """The groups of runs, in the order of their first runs."""
    members: dict[str, list[ScoredRun]] = {}
    settings: dict[str, Flat] = {}
    for one in runs:
        deciding = deciding_settings(one.record)
        key = fingerprint(deciding)
        settings[key] = deciding
        members.setdefault(key, []).append(one)
    return [
        RunGroup(
            settings[key],
            tuple(sorted(found, key=lambda one: (one.record.config.seed, one.score.run))),
        )
        for key, found in members.items()
    ]


def deciding_settings(record: RunRecord) -> Flat:
    """What decides a run's result beside its seed; settings that its method does not use are left out."""
    config = record.config
    roles = {Role.VIEWS, Role.RESULT, Role.SCORING} | ({Role.TAUGHT} if record.distils else set())
    values = deciding(config, *roles)
    settings = {key: value for key, value in flat(values) if key not in {"seed", "teachers"}}
    manifest = record.manifest.model_dump(
        mode="json", exclude={"title", "classes", "name", "notes"}
    )
    settings |= dict(flat({"manifest": manifest}))
    if initial := record.facts.get("initial"):
        place, weights = Path(str(initial["path"])).name, initial.get("weights", "")
        settings["initial"] = f"{place} {weights} {str(initial['fingerprint'])[:8]}".replace(
            "  ", " "
        )
    if not record.distils:
        return settings
    return settings | _teachers(record)


def _teachers(record: RunRecord) -> Flat:
    """The settings of the teachers that are distilled from; codecs only where features are read."""
    config = record.config
    settings: Flat = {"teachers": "+".join(teacher.name for teacher in config.distilled)}
    for teacher in config.distilled:
        values = deciding(teacher, Role.TEACHER)
        if config.teacher_source == "cached":
            values["codec"] = codec_label(teacher.declared_codec)
        settings |= dict(flat({"teachers": {teacher.name: values}}))
    return settings
