"""One YAML file drives both stages: read, overridden from the command line, validated strictly."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rsmtdf_core.choices import OneOf, fields_at, one_of
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.kinds import FAMILIES, METHODS, MethodKind
from rsmtdf_core.roles import ConfigSettings, Place, Result, Speed, Views
from rsmtdf_core.settings import LONGEST_PATH, MOST_COUNT, Seed, UserPath
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.training.settings import MethodSettings, OptimiserSettings, TaughtSettings
from rsmtdf_core.validation import load_yaml, parse_yaml, validate
from rsmtdf_core.views.records import PIXELS
from rsmtdf_core.views.settings import ViewSettings


def _share(value: object) -> object:
    """Read shares written as a fraction: '1/8'."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError):
        return value


FAMILY = OneOf(FAMILIES, "family")
METHOD = OneOf(METHODS, "method", "rs-mtdf")
TeacherSource = Literal["cached", "online", "none"]
WholePath = Annotated[UserPath, AfterValidator(Path.absolute)]
Share = Annotated[float, BeforeValidator(_share), Field(gt=0, le=1)]


class DataSettings(ConfigSettings):
    """Which scenes are used.

    Attributes:
        manifest: a packaged manifest's name, or the path of one.
        root: the folder that the manifest's paths are relative to; a relative one starts from the working folder, and
            a run keeps it whole, so that it can be evaluated from any folder.
        labeled: share of the training scenes whose masks are used, e.g. 1/8; without effect where the manifest
            lists its labeled scenes.
        labeled_seed: draws those scenes; smaller shares are inside larger ones.
    """

    manifest: Place[str] = Field(max_length=LONGEST_PATH)
    root: Place[WholePath]
    labeled: Result[Share] = 0.125
    labeled_seed: Result[int] = Field(default=0, ge=-(2**62), le=2**62)


class EvaluationSettings(ConfigSettings):
    """How a run is scored.

    Attributes:
        weights: which model is validated, kept as best and scored.
        every: epochs between validations.
        patience: the run ends after this many validations without a better one; None trains to the end.
        inference: how whole scenes are predicted.
    """

    weights: Result[Literal["ema", "student"]] = "ema"
    every: Result[int] = Field(default=1, ge=1, le=MOST_COUNT)
    patience: Result[int | None] = Field(default=None, ge=1, le=MOST_COUNT)
    inference: InferenceSettings = InferenceSettings()


class RuntimeSettings(ConfigSettings):
    """Where and how fast; nothing here changes what is computed, but `precision` by rounding.

    Attributes:
        device: auto takes a GPU where there is one.
        precision: of the training step.
        accumulate: parts that a step's batch is computed in, one after the other; the same losses in less memory.
        activation_checkpointing: compute the encoder's activations again in the backward pass instead of keeping
            them: less memory, a third more time.
        compile: compile the student (torch.compile): minutes at the start, faster steps after that.
        workers: processes that render views ahead of the training step; 0 renders in the loop.
        cache: the folder of feature stores that experiments share; by default RSMTDF_CACHE, or
            a folder in the user's cache.
        runs: the folder of runs.
        cache_pixels: keep the rendered views and masks beside the tokens, so that stage two decodes and augments
            nothing; 6 bytes a pixel of a view.
        check: when the checksum of a cached record is compared: at each use, at its first use in a process, never.
        read_threads: threads that copy and decompress cached records ahead of the training step.
        extract_workers: processes of stage one on this machine; by default one per GPU, or one per two cores.
        teacher_batch: views that a teacher sees at once.
        shard_mebibytes: upper bound of a shard's size, fixed when a store is created.
        log_every: steps between lines of metrics.jsonl.
        checkpoint_every: steps between checkpoints, beside those before validations; None makes no others.
        keep_checkpoints: how many of the latest are kept, beside the best.
        keep_best: how many of the best are kept.
        trackers: where metrics go beside metrics.jsonl and TensorBoard.
    """

    device: Speed[Literal["auto", "cpu", "cuda"]] = "auto"
    precision: Result[Literal["fp32", "bf16", "fp16"]] = "fp32"
    accumulate: Speed[int] = Field(default=1, ge=1, le=65_536)
    activation_checkpointing: Speed[bool] = False
    compile: Speed[bool] = False
    workers: Speed[int] = Field(default=1, ge=0, le=1024)
    cache: Place[UserPath | None] = None
    runs: Place[UserPath] = Path("runs")
    cache_pixels: Speed[bool] = False
    check: Speed[Literal["always", "first", "never"]] = "first"
    read_threads: Speed[int] = Field(default=1, ge=1, le=1024)
    extract_workers: Speed[int | None] = Field(default=None, ge=1, le=1024)
    teacher_batch: Speed[int] = Field(default=8, ge=1, le=65_536)
    shard_mebibytes: Speed[int] = Field(default=256, ge=1, le=2**20)
    log_every: Speed[int] = Field(default=10, ge=1, le=MOST_COUNT)
    checkpoint_every: Speed[int | None] = Field(default=None, ge=1, le=MOST_COUNT)
    keep_checkpoints: Speed[int] = Field(default=2, ge=1, le=MOST_COUNT)
    keep_best: Speed[int] = Field(default=1, ge=1, le=MOST_COUNT)
    trackers: Place[tuple[Literal["wandb", "mlflow"], ...]] = ()

    @property
    def cache_folder(self) -> Path:
        """The cache as set, else RSMTDF_CACHE, else rsmtdf in the user's cache folder."""
        if self.cache is not None:
            return self.cache
        if named := os.environ.get("RSMTDF_CACHE"):
            return Path(named).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "rsmtdf"


class ExperimentConfig(ConfigSettings):
    """Everything about one experiment.

    Attributes:
        name: names the run.
        seed: of the student's initial weights and of the order of views.
        views_seed: of the view plan; runs that share it share their features.
    """

    name: Place[str] = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)
    seed: Result[int] = Field(default=0, ge=0, lt=2**32)
    views_seed: Views[Seed] = 0
    data: DataSettings
    views: ViewSettings = ViewSettings()
    teachers: tuple[Annotated[TeacherSettings, FAMILY], ...] = ()
    student: StudentSettings = StudentSettings()
    objective: Annotated[MethodSettings, METHOD] = Field(default_factory=METHOD.make)
    optimiser: OptimiserSettings = OptimiserSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [teacher.name for teacher in self.teachers]
        if len(set(names)) < len(names):
            raise ValueError(f"teachers need different names, found {', '.join(names)}")
        if PIXELS in names:
            raise ValueError(f"{PIXELS} is the name of the cached views; give the teacher another")
        if self.optimiser.batch % (2 * self.runtime.accumulate):
            raise ValueError(
                f"runtime.accumulate: {self.runtime.accumulate} parts of optimiser.batch: {self.optimiser.batch} "
                "are not whole pairs; the batch must be a multiple of twice the parts"
            )
        if self.teacher_source == "online" and self.views.teacher_sees != "mixed":
            raise ValueError(
                "objective.teachers: online computes tokens of the mixed views; set views.teacher_sees: mixed"
            )
        return self

    @model_validator(mode="after")
    def _known_teachers(self) -> Self:
        if isinstance(self.objective, TaughtSettings):
            self.objective.used_teachers(self._teacher_names)
        weighted = self.student.fusion.teacher_weights or {}
        if unknown := sorted(weighted.keys() - set(self._teacher_names)):
            listed = ", ".join(unknown)
            raise ValueError(f"student.fusion.teacher_weights: no teacher is named {listed}")
        return self

    @property
    def _teacher_names(self) -> tuple[str, ...]:
        return tuple(teacher.name for teacher in self.teachers)

    @property
    def method(self) -> MethodKind:
        """The row of the training method."""
        return METHODS[self.objective.method]

    @property
    def distilled(self) -> tuple[TeacherSettings, ...]:
        """The teachers whose tokens the method gets, in the config's order; none if it uses no teachers."""
        if not isinstance(self.objective, TaughtSettings):
            return ()
        used = self.objective.used_teachers(self._teacher_names)
        return tuple(teacher for teacher in self.teachers if teacher.name in used)

    @property
    def teacher_source(self) -> TeacherSource:
        """Where the method gets the teachers' tokens from: the cache, the teachers in the loop, or nowhere."""
        return self.objective.teachers if isinstance(self.objective, TaughtSettings) else "none"

    @property
    def run_folder(self) -> Path:
        """Where this config's run is kept by default."""
        return self.runtime.runs / f"{self.name}-{self.objective.method}-seed{self.seed}"


ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | ExperimentConfig
"""A YAML file's path, a packaged config's name, a mapping with the keys of a file, or a config."""


def packaged_configs() -> dict[str, Path]:
    """The example configs that come with the package, by name."""
    folder = Path(__file__).with_name("configs")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name_or_path: str) -> Path:
    """The path of a config given as a path or as a packaged name.

    Raises:
        ConfigError: where there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = packaged_configs()
    if name_or_path in known:
        return known[name_or_path]
    close = get_close_matches(name_or_path, known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"no config {name_or_path!r}",
        remedy=f"{hint}give a YAML file or one of: {', '.join(known)}",
    )


def load_config(source: ConfigSource, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a config and apply overrides of the form `dotted.key=value`, the value read as YAML.

    Args:
        source: a YAML file's path, a packaged config's name, a mapping with the keys of a file, or a config.
        overrides: in the order in which they apply.

    Raises:
        ConfigError: with one line for each error, and whether it is in the file or in an override.
    """
    if isinstance(source, ExperimentConfig) and not overrides:
        return source
    read, name = _reader(source)
    values = _overridden(read(), overrides)
    try:
        return validate(ExperimentConfig, values, name)
    except ConfigError as error:
        raise _placed(error, read, name, overrides) from None


def _reader(source: ConfigSource) -> tuple[Callable[[], dict[str, Any]], str]:
    """What gives a config's values, new ones at each call, and the config's name in errors."""
    if isinstance(source, ExperimentConfig):
        return partial(source.model_dump, mode="json", exclude_unset=True), "the config"
    if isinstance(source, Mapping):
        return lambda: {key: plain_value(value) for key, value in source.items()}, "the config"
    path = find_config(os.fspath(source))
    return partial(load_yaml, path), str(path)


def plain_value(value: object) -> object:
    """A value from Python as YAML would give it: paths as text, sequences as lists."""
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _overridden(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """The values of a config with the overrides in place."""
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"expected key=value, found {override!r}", where="--set")
        _assign(values, key.split("."), _value(text, override), override)
    return values


def _placed(
    error: ConfigError, read: Callable[[], dict[str, Any]], name: str, overrides: Sequence[str]
) -> ConfigError:
    """The same error with the places where it comes from: an override is at fault if things are right without it.

    Found by trying, as an error need not name the key that was set: two settings may be wrong only together.
    """

    def wrong(kept: Iterable[str]) -> set[str]:
        try:
            validate(ExperimentConfig, _overridden(read(), kept), name)
        except ConfigError as found:
            return set(found.what.splitlines())
        return set()

    lines = set(error.what.splitlines())
    in_file = lines & wrong(())
    if lines == in_file:
        return error
    faulty = [
        one
        for one in dict.fromkeys(overrides)
        if wrong([other for other in overrides if other != one]) < lines
    ]
    # Of two wrong values of one key neither is at fault by itself.
    places = [_option(one) for one in faulty or overrides]
    if in_file:
        places.append(name)
    return ConfigError(error.what, where=", ".join(places), remedy="correct the keys named above")


def _option(override: str) -> str:
    """An override as an error names it."""
    return f"--set {override if len(override) <= 120 else f'{override[:117]}...'}"


def _value(text: str, override: str) -> object:
    return parse_yaml(text, _option(override))


def _assign(values: dict[str, Any], keys: list[str], value: object, override: str) -> None:
    """Set a nested key; an item of a list is named by its number or by its `name`."""
    node: Any = values
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            place = _item(node, key)
            if place is None:
                known = ", ".join(str(one.get("name")) for one in node if isinstance(one, dict))
                raise ConfigError(f"no item {key!r} (there are: {known})", where=_option(override))
            if last:
                node[place] = value
            node = node[place]
        elif isinstance(node, dict):
            choice = _choice(".".join(keys[: depth + 1]))
            if choice and isinstance(node.get(key), str):
                node[key] = {choice.key: node[key]}
            if last and choice and isinstance(value, str) and isinstance(node.get(key), dict):
                node[key] = {**node[key], choice.key: value}
            elif last:
                node[key] = value
            else:
                # An absent or empty group is made here; validation names it if no such group exists.
                node[key] = {} if node.get(key) is None else node[key]
                node = node[key]
        else:
            above = ".".join(keys[:depth])
            raise ConfigError(f"{above} is a value, not a group", where=_option(override))


def _choice(key: str) -> OneOf | None:
    """The choice that a group may be, which can be written as a name alone."""
    fields = fields_at(ExperimentConfig, key)
    return one_of(fields[0][2]) if fields else None


def _item(items: list[Any], key: str) -> int | None:
    if key.isdigit() and int(key) < len(items):
        return int(key)
    named = [
        i for i, item in enumerate(items) if isinstance(item, dict) and item.get("name") == key
    ]
    return named[0] if named else None
