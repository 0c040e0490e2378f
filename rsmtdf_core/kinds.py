"""Registries of the parts that a package can add: methods, teacher families, codecs and protocols.

Each part has one row with its facts. A row does not need torch: it names the part's code by import path and imports it
on first use. The rows of this project are listed below. Other packages add rows through entry points in the groups
`rsmtdf.methods`, `rsmtdf.teachers`, `rsmtdf.codecs` and `rsmtdf.protocols`. No other module keeps facts about a part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, Literal, TypeVar

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import ConfigSettings

Holds = Literal["tokens", "pixels"]
PredictsFrom = Literal["images", "tokens"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A row of a registry, with the facts that all kinds of parts have.

    Attributes:
        name: the part's name in configs, on the command line and in reports.
        summary: the part in one line, for help texts.
        code: import path of the part's code, `package.module` or `package.module:attribute`.
        interface: names of the attributes that the code of every part of the kind must have.
        settings: the config keys of the part.
    """

    interface: ClassVar[tuple[str, ...]] = ()

    name: str
    summary: str
    code: str
    settings: type[ConfigSettings]

    def load(self) -> Any:  # noqa: ANN401 - the interface depends on the kind; typed functions wrap this method
        """Import the part's code and return it.

        Raises:
            ConfigError: If the code cannot be imported, or lacks an attribute of `interface`.
        """
        return self._imported(self.code, self.interface)

    def _imported(self, path: str, interface: tuple[str, ...]) -> Any:  # noqa: ANN401 - see `load`
        try:
            code = _resolve(path)
        except (ImportError, AttributeError) as failure:
            raise self._unusable(path, f"cannot be imported: {failure}") from failure
        missing = [name for name in interface if not hasattr(code, name)]
        if missing:
            raise self._unusable(path, f"has no {' and no '.join(missing)}")
        return code

    def _unusable(self, path: str, why: str) -> ConfigError:
        return ConfigError(
            f"the code of {self.name} {why}",
            where=path,
            remedy="repair or reinstall the package that this module belongs to",
        )


@dataclass(frozen=True, kw_only=True)
class MethodKind(Kind):
    """A training method; its code is an `Objective` class.

    Its settings extend `MethodSettings`, or `TaughtSettings` if it needs the teachers' tokens.

    Attributes:
        strong_views: strong views of each unlabeled sample; 0 for methods that train on labeled scenes alone.
        trains_head: whether the method trains the whole student, from masks. Other methods train only the encoder and
            the translators, on labeled and unlabeled scenes alike, so their models predict no classes.
        losses: a caption for each loss that the method logs.
        model: import path of the class of the model that the method trains, a `Segmenter`.
        predicts_from: the input of the model's predictions: images alone, or the teachers' tokens too. For tokens,
            validation, `evaluate` and `predict` load the teachers.
    """

    interface = ("counts", "__call__")

    strong_views: int
    trains_head: bool = True
    losses: Mapping[str, str] = field(default_factory=dict)
    model: str = "rsmtdf_core.student.model:Student"
    predicts_from: PredictsFrom = "images"

    def load_model(self) -> Any:  # noqa: ANN401 - see `load`
        """Import and return the class of the model.

        Raises:
            ConfigError: If it cannot be imported, or is no `Segmenter`.
        """
        return self._imported(self.model, ("build", "logits"))


@dataclass(frozen=True, kw_only=True)
class FamilyKind(Kind):
    """A family of teachers; its code is a module or an object with the functions of `Family`.

    Its settings extend `TeacherSettings`, and may change its defaults, such as the tap.
    """

    interface = ("hub_file", "build")


@dataclass(frozen=True, kw_only=True)
class CodecKind(Kind):
    """A codec; its code is a `CodecClass`.

    Its settings extend `CodecSettings`.

    Attributes:
        format: format number of the records; part of a store's address.
        holds: the contents of the records, teachers' tokens or pixels of rendered views.
        files: names of further files in the stores of this codec.
        lossless: whether decoded tokens differ from the teacher's by no more than half precision.
    """

    interface = ("fit", "encode", "unpack", "decode")

    format: int = 1
    holds: Holds = "tokens"
    files: tuple[str, ...] = ()
    lossless: bool = False


@dataclass(frozen=True, kw_only=True)
class ProtocolKind(Kind):
    """An evaluation protocol; its code is a `Protocol`. It has no settings; its name alone determines the scores."""

    interface = ("description", "score")

    settings: type[ConfigSettings] = ConfigSettings


K = TypeVar("K", bound=Kind)


class Registry(Mapping[str, K], Generic[K]):
    """The rows of one kind by name: first those of this project, then those of other packages, sorted by name."""

    def __init__(
        self, noun: str, group: str, row_type: type[K], built_in: Mapping[str, str]
    ) -> None:
        """Keep the import paths. Rows are imported on first use, so a row's module may import users of the registry.

        Args:
            noun: the kind as errors name it, such as "codec".
            group: the group of entry points.
            row_type: the class of the rows.
            built_in: import paths of this project's rows by name.
        """
        self.noun = noun
        self.group = group
        self._row_type = row_type
        self._built_in = built_in

    def __getitem__(self, name: str) -> K:
        """Return the row with the given name."""
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    @cached_property
    def _rows(self) -> dict[str, K]:
        rows: dict[str, K] = {}
        for name, path in self._built_in.items():
            row = _resolve(path)
            assert isinstance(row, self._row_type), path
            assert row.name == name, path
            rows[name] = row
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            if point.name in rows:
                raise self._refused(point, f"there is already a {self.noun} of that name")
            rows[point.name] = self._plugged_in(point)
        return rows

    def _plugged_in(self, point: EntryPoint) -> K:
        """Import the row that an entry point names."""
        try:
            row = point.load()
        except Exception as failure:
            raise self._refused(point, f"it cannot be imported: {failure!r}") from failure
        if not isinstance(row, self._row_type):
            raise self._refused(
                point, f"expected a {self._row_type.__name__}, found a {type(row).__name__}"
            )
        if row.name != point.name:
            raise self._refused(point, f"its row is named {row.name!r}")
        return row

    def _refused(self, point: EntryPoint, why: str) -> ConfigError:
        package = point.dist.name if point.dist is not None else "unknown"
        return ConfigError(
            f"the {self.noun} {point.name!r} of the package {package} cannot be used: {why}",
            where=f"entry point {point.value} in {self.group}",
            remedy=f"repair the package {package}, or uninstall it",
        )


def _resolve(path: str) -> Any:  # noqa: ANN401 - a module may contain any type
    module, _, name = path.partition(":")
    imported = import_module(module)
    return getattr(imported, name) if name else imported


_METHODS = "rsmtdf_core.training.methods.rows"
_TEACHERS = "rsmtdf_core.teachers.rows"
_CODECS = "rsmtdf_core.codecs.rows"
_PROTOCOLS = "rsmtdf_core.evaluation.protocols.rows"

METHODS = Registry(
    "method",
    "rsmtdf.methods",
    MethodKind,
    {
        "supervised": f"{_METHODS}:SUPERVISED",
        "fixmatch": f"{_METHODS}:FIXMATCH",
        "unimatch-v2": f"{_METHODS}:UNIMATCH_V2",
        "rs-mtdf": f"{_METHODS}:RS_MTDF",
        "distill": f"{_METHODS}:DISTILL",
        "teacher-head": f"{_METHODS}:TEACHER_HEAD",
    },
)
FAMILIES = Registry(
    "teacher family",
    "rsmtdf.teachers",
    FamilyKind,
    {
        "timm": f"{_TEACHERS}:TIMM",
        "open_clip": f"{_TEACHERS}:OPEN_CLIP",
        "olmoearth": f"{_TEACHERS}:OLMOEARTH",
    },
)
CODECS = Registry(
    "codec",
    "rsmtdf.codecs",
    CodecKind,
    {
        "fp16": f"{_CODECS}:FP16",
        "int8": f"{_CODECS}:INT8",
        "transform": f"{_CODECS}:TRANSFORM",
        "uint8": f"{_CODECS}:UINT8",
    },
)
PROTOCOLS = Registry(
    "protocol",
    "rsmtdf.protocols",
    ProtocolKind,
    {
        "rsmtdf": f"{_PROTOCOLS}:RSMTDF",
        "official": f"{_PROTOCOLS}:OFFICIAL",
        "dwl": f"{_PROTOCOLS}:DWL",
    },
)


class _TokenCodecs(Mapping[str, CodecKind]):
    def __getitem__(self, name: str) -> CodecKind:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def _rows(self) -> dict[str, CodecKind]:
        kinds = [kind for kind in CODECS.values() if kind.holds == "tokens"]
        return {kind.name: kind for kind in sorted(kinds, key=lambda kind: not kind.lossless)}


TOKEN_CODECS: Mapping[str, CodecKind] = _TokenCodecs()
"""The codecs for teachers' tokens, lossless codecs first."""
