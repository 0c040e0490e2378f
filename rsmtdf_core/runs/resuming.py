"""Whether a run that is resumed is still the same: its settings, its data and its batch."""

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
    """How many labeled crops a step has, and as many unlabeled ones.

    Attributes:
        processes: that share a step.
        each: labeled crops of each.
    """

    processes: int
    each: int

    @property
    def total(self) -> int:
        """Labeled crops of a step."""
        return self.processes * self.each

    def require_same_total(self, other: "GlobalBatch", run: Path) -> None:
        """Refuse to resume a run that started with this batch with one of another size.

        Raises:
            RunError: where the totals differ.
        """
        if self.total == other.total:
            return
        each, rest = divmod(self.total, other.processes)
        choice = f", or --set optimiser.batch={each}" if rest == 0 and each % 2 == 0 else ""
        raise RunError(
            f"the run trains {self.total} labeled crops a step ({self.processes} x {self.each}), this "
            f"would be {other.total} ({other.processes} x {other.each})",
            where=run,
            remedy=f"resume it with torchrun --nproc-per-node {self.processes} and optimiser.batch="
            f"{self.each}{choice}",
        )


def changed_settings(
    config_file: Path, config: ConfigSettings, manifest_file: Path, manifest: Settings
) -> list[str]:
    """What differs between the settings that a run was started with and the given ones, of what decides its result."""
    return [
        *differences(_fixed(_kept(config_file, config)), _fixed(config)),
        *differences(
            _data_facts(_kept(manifest_file, manifest)), _data_facts(manifest), "manifest"
        ),
    ]


def _kept(path: Path, like: S) -> S:
    """What a run wrote, as settings of today: a key that came later has its default, which is what the run did."""
    return validate(type(like), load_yaml(path), str(path))


def _fixed(config: ConfigSettings) -> dict[str, Any]:
    """The settings that decide what a run computes: everything but speed and places."""
    return deciding(config, *(set(Role) - {Role.SPEED, Role.PLACE}))


def _data_facts(manifest: Settings) -> dict[str, Any]:
    """What decides the same of the data: words do not, nor do rules that no training is scored by."""
    return manifest.model_dump(mode="json", exclude={"title", "notes", "protocols"})
