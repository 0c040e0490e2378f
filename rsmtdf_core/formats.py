"""File formats: a version number for each kind of file, and migrations from earlier versions.

A number increases if the files change such that an earlier version would misread them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RsmtdfError, StoreDamagedError, StoreMismatchError
from rsmtdf_core.fingerprints import fingerprint

Values = dict[str, Any]
_KEY, _SEAL = "format", "fingerprint"


@dataclass(frozen=True)
class FileFormat:
    """The format of one kind of file.

    Attributes:
        noun: the kind of file in errors, such as "commit".
        number: the number of files that this version writes.
        migrations: functions by number; each converts the values of a file of this number to the next number.
    """

    noun: str
    number: int = 1
    migrations: Mapping[int, Callable[[Values], Values]] = field(default_factory=dict)

    def stamped(self, values: Mapping[str, Any]) -> Values:
        """Return the values of a new file, with the number."""
        return {_KEY: self.number, **values}

    def current(
        self, values: Values, path: Path, error: type[RsmtdfError] = StoreMismatchError
    ) -> Values:
        """Migrate the values of a file to the current format.

        Args:
            values: the values of the file, with their number.
            path: the file, for the message.
            error: the class of the error.

        Raises:
            RsmtdfError: Of class `error`, if the number is unknown or too old for the migrations.
        """
        number = values.get(_KEY)
        if type(number) is not int or number > self.number:
            raise error(
                f"expected format {self.number} of the {self.noun}, found {number!r}",
                where=path,
                remedy="upgrade rsmtdf",
            )
        for step in range(number, self.number):
            if step not in self.migrations:
                raise error(
                    f"the {self.noun} has format {number}, which this version does not read; expected "
                    f"{min(self.migrations, default=self.number)} to {self.number}",
                    where=path,
                    remedy="use the version of rsmtdf that wrote it",
                )
            values = {**self.migrations[step](values), _KEY: step + 1}
        return values

    def sealed(self, values: Mapping[str, Any]) -> Values:
        """Return the values of a new file, with the number and the fingerprint of both."""
        return seal(self.stamped(values))

    def unsealed(self, value: object, path: Path) -> Values:
        """Check a sealed file and return its values without the fingerprint.

        Raises:
            StoreDamagedError: If the fingerprint is missing or wrong.
            StoreMismatchError: If this version does not read the file's format.
        """
        if not isinstance(value, dict) or _SEAL not in value:
            raise StoreDamagedError("the file has no fingerprint", where=path)
        values = {key: inner for key, inner in value.items() if key != _SEAL}
        try:
            expected = fingerprint(values)
        except (ValueError, RecursionError):  # a number outside the JSON standard, or too deep
            expected = ""
        if value[_SEAL] != expected:
            raise StoreDamagedError("the file does not match its fingerprint", where=path)
        return self.current(values, path)


def seal(values: Values) -> Values:
    """Return the values with their fingerprint added."""
    return {**values, _SEAL: fingerprint(values)}
