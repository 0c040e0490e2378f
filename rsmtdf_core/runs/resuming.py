"""Compare a resumed run with its start: its settings, its data and its batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rsmtdf_core.errors import RunError
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.roles import ConfigSettings, Role, deciding
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import load_yaml, validate

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class GlobalBatch:
    """The number of labeled crops (and of unlabeled crops) in a step.

    Attributes:
        processes: number of processes that share a step.
        each: labeled crops per process.
    """

    processes: int
    each: int

    @property
    def total(self) -> int:
        """Labeled crops in a step."""
        return self.processes * self.each

    def require_same_total(self, other: "GlobalBatch", run: Path) -> None:
        """Check that a run which started with this batch resumes with a batch of the same total.

        Raises:
            RunError: If the totals differ.
        """
        if self.total == other.total:
            return
        each, rest = divmod(self.total, other.processes)
        choice = f", or --set optimiser.batch={each}" if rest == 0 and each % 2 == 0 else ""
        raise RunError(
            f"the run trains {self.total} labeled crops per step ({self.processes} x {self.each}), but "
            f"this command trains {other.total} ({other.processes} x {other.each})",
            where=run,
            remedy=f"resume it with torchrun --nproc-per-node {self.processes} and optimiser.batch="
            f"{self.each}{choice}",
        )


def changed_settings(
    config_file: Path, config: ConfigSettings, manifest_file: Path, manifest: Settings
) -> list[str]:
    """Return the differences between the given settings and those of the run's start that affect its result."""
    return [
        *differences(_fixed(_kept(config_file, config)), _fixed(config)),
        *differences(
            _data_facts(_kept(manifest_file, manifest)), _data_facts(manifest), "manifest"
        ),
    ]


def _kept(path: Path, like: S) -> S:
    """Load the settings of a run; newer keys get their defaults, which match the behavior of the run."""
    return validate(type(like), load_yaml(path), str(path))


def _fixed(config: ConfigSettings) -> dict[str, Any]:
    """Return the settings that affect the results of a run: all except speed and locations."""
    return deciding(config, *(set(Role) - {Role.SPEED, Role.PLACE}))


def _data_facts(manifest: Settings) -> dict[str, Any]:
    """Return the fields of a manifest that affect training: all except texts and evaluation protocols."""
    return manifest.model_dump(mode="json", exclude={"title", "notes", "protocols"})
