"""Groups runs whose settings are the same, except for seed, fold and settings that do not affect the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs import RunRecord
from pipeline.runs.compare.scoring import ScoredRun
from pipeline.runs.summary import codec_label
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.roles import Role, deciding, flat

Flat = dict[str, object]  # dotted keys with JSON values other than mappings


@dataclass(frozen=True)
class RunGroup:
    """Runs with the same configuration.

    Attributes:
        settings: the settings that decide the result.
        runs: the runs, sorted by fold and seed.
    """

    settings: Flat
    runs: tuple[ScoredRun, ...]


def group_runs(runs: Sequence[ScoredRun]) -> list[RunGroup]:
    """Group runs, in the order of the first run of each group."""
    members: dict[str, list[ScoredRun]] = {}
    settings: dict[str, Flat] = {}
    for run in runs:
        deciding = deciding_settings(run.record)
        key = fingerprint(deciding)
        settings[key] = deciding
        members.setdefault(key, []).append(run)
    return [
        RunGroup(
            settings[key],
            tuple(
                sorted(group, key=lambda run: (run.score.fold or 0, run.score.seed, run.score.run))
            ),
        )
        for key, group in members.items()
    ]


def deciding_settings(record: RunRecord) -> Flat:
    """Return the settings that decide a run's result, without seed, fold and settings unused by its method."""
    config = record.config.model_copy(update={"views": record.config.views_in_force})
    roles = {Role.VIEWS, Role.RESULT, Role.SCORING} | ({Role.TAUGHT} if record.distils else set())
    values = deciding(config, *roles)
    settings = {
        key: value for key, value in flat(values) if key not in {"seed", "data.fold", "teachers"}
    }
    manifest = record.manifest
    if config.data.fold is not None and manifest.folds is not None:
        # The run's manifest has the splits of its fold: return to those of fold 0.
        manifest = manifest.with_fold(-config.data.fold % manifest.folds)
    facts = manifest.model_dump(mode="json", exclude={"title", "classes", "name", "notes"})
    settings |= dict(flat({"manifest": facts}))
    if initial := record.facts.get("initial"):
        name, weights = Path(str(initial["path"])).name, initial.get("weights", "")
        settings["initial"] = f"{name} {weights} {str(initial['fingerprint'])[:8]}".replace(
            "  ", " "
        )
    if not record.distils:
        return settings
    return settings | _teachers(record)


def _teachers(record: RunRecord) -> Flat:
    """Return the settings of the distilled teachers, with codecs if features are read from stores."""
    config = record.config
    settings: Flat = {"teachers": "+".join(teacher.name for teacher in config.distilled)}
    for teacher in config.distilled:
        values = deciding(teacher, Role.TEACHER)
        if config.teacher_source == "cached":
            values["codec"] = codec_label(teacher.declared_codec)
        settings |= dict(flat({"teachers": {teacher.name: values}}))
    return settings
