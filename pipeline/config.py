"""The config of an experiment: one YAML file for all stages, with overrides from the command line."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.packaged import find_config
from pipeline.sections import DataSettings, EvaluationSettings, RuntimeSettings
from rsmtdf_core.choices import OneOf, fields_at, one_of
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.kinds import FAMILIES, METHODS, MethodKind
from rsmtdf_core.roles import ConfigSettings, Place, Result, Views
from rsmtdf_core.settings import Seed
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.training.settings import (
    MethodSettings,
    OptimiserSettings,
    PretrainSettings,
    TaughtSettings,
)
from rsmtdf_core.validation import load_yaml, parse_yaml, validate
from rsmtdf_core.views.records import PIXELS
from rsmtdf_core.views.settings import FRESH, ViewSettings

FAMILY = OneOf(FAMILIES, "family")
METHOD = OneOf(METHODS, "method", "rs-mtdf")
TeacherSource = Literal["cached", "online", "none"]


class ExperimentConfig(ConfigSettings):
    """All settings of an experiment.

    Attributes:
        name: name of the run.
        seed: seed of the student's initial weights and of the order of views.
        views_seed: seed of the view plan; runs with the same views_seed share features.
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
        for key, batch in (
            ("optimiser.batch", self.optimiser.batch),
            ("objective.pretrain.batch", self.phases[0].optimiser.batch),
        ):
            if batch % (2 * self.runtime.accumulate):
                raise ValueError(
                    f"runtime.accumulate: {self.runtime.accumulate} parts of {key}: {batch} "
                    "are not whole pairs; the batch must be a multiple of twice the parts"
                )
        if self.teacher_source == "online" and self.views.teacher_sees != "mixed":
            raise ValueError(
                "objective.teachers: online computes tokens of the mixed views; set views.teacher_sees: mixed"
            )
        return self

    @model_validator(mode="after")
    def _fresh_views_fit(self) -> Self:
        views = self.views_in_force
        labeled, unlabeled = (
            count == FRESH for count in (views.labeled_views, views.unlabeled_views)
        )
        sources = {phase.teacher_source: phase.objective for phase in self.phases}
        cached = sources.get("cached")
        remedy = "set a number of views such as 4, or objective.teachers: online"
        if unlabeled and cached:
            raise ValueError(
                f"views.unlabeled_views: fresh views have no cached tokens, from which {self.method.name} learns; "
                f"{remedy}"
            )
        if labeled and isinstance(cached, TaughtSettings) and cached.needs_labeled_tokens:
            raise ValueError(
                f"views.labeled_views: fresh views have no cached tokens, and {self.method.name} with these settings "
                f"needs those of labeled samples; {remedy}"
            )
        if self.views.unlabeled_views == FRESH and self.runtime.cache_pixels:
            raise ValueError(
                "runtime.cache_pixels: fresh views are drawn during training and cannot be cached; set a number of "
                "views.unlabeled_views such as 4, or cache_pixels: false"
            )
        return self

    @model_validator(mode="after")
    def _known_teachers(self) -> Self:
        if isinstance(self.objective, TaughtSettings):
            self.objective.used_teachers(self._teacher_names)
        pretrain = self.objective.pretrain
        pretrain.require_usable(self._teacher_names)
        if pretrain.steps and self.method.model != METHODS["distill"].model:
            raise ValueError(
                f"objective.pretrain.steps: the model of {self.method.name} has no encoder to distill; set it to 0"
            )
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
        """Registry row of the training method."""
        return METHODS[self.objective.method]

    @property
    def phases(self) -> tuple["ExperimentConfig", ...]:
        """The config of each phase of a run, in order.

        These are distillation, if `objective.pretrain` has steps, and the method, without `objective.pretrain`; both
        draw the same views.
        """
        pretrain = self.objective.pretrain
        if not pretrain.steps:
            return (self,)
        distill = METHOD.read(
            {"method": "distill", "distillation": self.objective.first_distillation}
        )
        changes = {
            "lr": pretrain.lr or self.optimiser.lr,
            "batch": pretrain.batch or 2 * self.optimiser.batch,
            # An epoch has at least one step.
            "epochs": pretrain.steps,
            "max_steps": pretrain.steps,
        }
        optimiser = self.optimiser.model_copy(update=changes)
        alone = self.objective.model_copy(update={"pretrain": PretrainSettings()})
        shared = self.model_copy(update={"views": self.views_in_force})
        return (
            shared.model_copy(update={"objective": distill, "optimiser": optimiser}),
            shared.model_copy(update={"objective": alone}),
        )

    @property
    def distilled(self) -> tuple[TeacherSettings, ...]:
        """Teachers that a run uses in any phase, in the order of the config; empty if it uses none."""
        used = {
            name
            for objective in (phase.objective for phase in self.phases)
            if isinstance(objective, TaughtSettings)
            for name in objective.used_teachers(self._teacher_names)
        }
        return tuple(teacher for teacher in self.teachers if teacher.name in used)

    @property
    def teacher_source(self) -> TeacherSource:
        """Source of the teachers' tokens, which the method's key decides; "none" if no phase uses teachers."""
        if isinstance(self.objective, TaughtSettings):
            return self.objective.teachers
        return "cached" if self.objective.pretrain.steps else "none"

    @property
    def views_in_force(self) -> ViewSettings:
        """The settings of views, with those of a method without teachers if no phase uses any."""
        return self.views.in_force(teachers=self.teacher_source != "none")

    @property
    def trains_from_cached_pixels(self) -> bool:
        """Whether any phase reads cached pixels; not if all of its views are fresh."""
        views = self.views_in_force
        planned = [
            views.labeled_views != FRESH
            or (phase.method.strong_views and views.unlabeled_views != FRESH)
            for phase in self.phases
        ]
        return self.runtime.cache_pixels and any(planned)

    @property
    def overruled(self) -> dict[str, str]:
        """Cached pixels that no training reads."""
        if not self.runtime.cache_pixels or self.trains_from_cached_pixels:
            return {}
        return {"runtime.cache_pixels": f"as {self.method.name} draws fresh views"}

    @property
    def run_folder(self) -> Path:
        """Default folder of this config's run."""
        fold = "" if self.data.fold is None else f"-fold{self.data.fold}"
        return self.runtime.runs / f"{self.name}-{self.objective.method}{fold}-seed{self.seed}"


ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | ExperimentConfig
"""Path of a YAML file, name of a packaged config, mapping with the keys of a file, or config."""


def load_config(source: ConfigSource, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Load a config and apply overrides.

    Args:
        source: path of a YAML file, name of a packaged config, mapping with the keys of a file, or config.
        overrides: `dotted.key=value`, with the value in YAML; applied in this order.

    Raises:
        ConfigError: If a key or value is invalid. The message has a line for each error and names its source, the file
            or an override.
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
    """Return a function that reads new values at each call, and the name of the config for errors."""
    if isinstance(source, ExperimentConfig):
        return partial(source.model_dump, mode="json", exclude_unset=True), "the config"
    if isinstance(source, Mapping):
        return lambda: {key: plain_value(value) for key, value in source.items()}, "the config"
    path = find_config(os.fspath(source))
    return partial(load_yaml, path), str(path)


def plain_value(value: object) -> object:
    """Convert a Python value to the types of YAML: paths to text, sequences to lists."""
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _overridden(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Apply the overrides to the values of a config."""
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"expected key=value, found {override!r}", where="--set")
        _assign(values, key.split("."), _value(text, override), override)
    return values


def _placed(
    error: ConfigError, read: Callable[[], dict[str, Any]], name: str, overrides: Sequence[str]
) -> ConfigError:
    """Add the sources of the errors to the error: the config, and each override without which fewer errors remain.

    Validation is repeated without each override, because an error need not name its key: two settings may be invalid
    only in combination.
    """

    def errors_with(active: Iterable[str]) -> set[str]:
        try:
            validate(ExperimentConfig, _overridden(read(), active), name)
        except ConfigError as failure:
            return set(failure.what.splitlines())
        return set()

    lines = set(error.what.splitlines())
    errors_in_file = lines & errors_with(())
    if lines == errors_in_file:
        return error
    faulty = [
        override
        for override in dict.fromkeys(overrides)
        if errors_with([other for other in overrides if other != override]) < lines
    ]
    # If a key is overridden twice with invalid values, removing either override leaves the error.
    sources = [_option(override) for override in faulty or overrides]
    if errors_in_file:
        sources.append(name)
    return ConfigError(error.what, where=", ".join(sources), remedy="correct the keys named above")


def _option(override: str) -> str:
    """Format an override for errors."""
    return f"--set {override if len(override) <= 120 else f'{override[:117]}...'}"


def _value(text: str, override: str) -> object:
    return parse_yaml(text, _option(override))


def _assign(values: dict[str, Any], keys: list[str], value: object, override: str) -> None:
    """Set a nested key. The key of a list item is its index or its `name`."""
    node: Any = values
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            index = _item(node, key)
            if index is None:
                names = ", ".join(str(item.get("name")) for item in node if isinstance(item, dict))
                raise ConfigError(f"no item {key!r} (there are: {names})", where=_option(override))
            if last:
                node[index] = value
            node = node[index]
        elif isinstance(node, dict):
            choice = _choice(".".join(keys[: depth + 1]))
            if choice and isinstance(node.get(key), str):
                node[key] = {choice.key: node[key]}
            if last and choice and isinstance(value, str) and isinstance(node.get(key), dict):
                node[key] = {**node[key], choice.key: value}
            elif last:
                node[key] = value
            else:
                # Create a missing or empty group. Validation reports it if there is no such group.
                node[key] = {} if node.get(key) is None else node[key]
                node = node[key]
        else:
            above = ".".join(keys[:depth])
            raise ConfigError(f"{above} is a value, not a group", where=_option(override))


def _choice(key: str) -> OneOf | None:
    """Return the mark of a group that a config may replace by the name of a part, or None."""
    fields = fields_at(ExperimentConfig, key)
    return one_of(fields[0][2]) if fields else None


def _item(items: list[Any], key: str) -> int | None:
    if key.isdigit() and int(key) < len(items):
        return int(key)
    indices = [
        i for i, item in enumerate(items) if isinstance(item, dict) and item.get("name") == key
    ]
    return indices[0] if indices else None
