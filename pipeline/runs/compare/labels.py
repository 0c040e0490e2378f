"""Labels groups of runs by the settings in which they differ, in as few words as possible."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pipeline.config import ExperimentConfig
from pipeline.runs.compare.groups import Flat
from pipeline.runs.summary import codec_label
from rsmtdf_core.choices import default_values
from rsmtdf_core.store.codecs import declare
from rsmtdf_core.teachers.settings import CODEC, TeacherSettings

_ALL = "teachers.*."  # prefix of settings that are the same for all teachers of a group
_VIEWS = ("views.unlabeled_views", "views.labeled_views")
_K = "views.K"
# Keys whose values are clear without the name of the key.
_PHRASES = {"objective.method": "{}", "objective.teachers": "{} teachers", "teachers": "{}"}
_ABSENT = object()


def label_groups(settings: Sequence[Flat]) -> list[tuple[str, dict[str, object]]]:
    """Return a unique label for each group, and the settings in which the group differs from others."""
    merged = _merged(settings)
    differing = _differing(merged, absent=False)
    for keys, brief in (
        (differing, True),
        (differing, False),
        (_differing(merged, absent=True), False),
    ):
        labels = [_label(group, keys, brief=brief) for group in merged]
        if len(set(labels)) == len(labels):
            break
    else:  # a group differs from another only by missing keys
        labels = [f"{label} ({number})" for number, label in enumerate(labels, 1)]
    return [
        (label, {key: group[key] for key in keys if key in group})
        for label, group in zip(labels, merged, strict=True)
    ]


def _merged(settings: Sequence[Flat]) -> list[Flat]:
    """Replace keys that have the same value in every group, such as those of all teachers, by a single key."""
    merged = [dict(group) for group in settings]
    if all(len({json.dumps(group[key]) for key in _VIEWS}) == 1 for group in merged):
        for group in merged:
            group[_K] = group[_VIEWS[0]]
            for key in _VIEWS:
                del group[key]
    tails = {key.split(".", 2)[2] for group in merged for key in group if _is_of_teacher(key)}
    for tail in sorted(tails):
        teacher_keys = [[key for key in group if _is_of_teacher(key, tail)] for group in merged]
        values = [
            {json.dumps(group[key]) for key in keys}
            for group, keys in zip(merged, teacher_keys, strict=True)
        ]
        if all(len(distinct) <= 1 for distinct in values):
            for group, keys in zip(merged, teacher_keys, strict=True):
                if keys:
                    group[_ALL + tail] = group[keys[0]]
                for key in keys:
                    del group[key]
    return merged


def _is_of_teacher(key: str, tail: str | None = None) -> bool:
    parts = key.split(".", 2)
    return parts[0] == "teachers" and len(parts) == 3 and tail in (None, parts[2])


def _differing(settings: Sequence[Flat], *, absent: bool) -> list[str]:
    """List the keys whose values differ among groups; with `absent`, also keys that some groups lack."""
    order = ["objective.method", "teachers", "objective.teachers", _K]
    keys = dict.fromkeys([*order, *(key for group in settings for key in group)])
    differing = []
    for key in keys:
        values = {
            json.dumps(group[key]) if key in group else ""
            for group in settings
            if absent or key in group
        }
        if len(values) > 1:
            differing.append(key)
    return differing


def _label(settings: Flat, keys: Sequence[str], *, brief: bool) -> str:
    """Describe the values of `keys`; a brief label omits words and switches with default values."""
    present = [key for key in keys if key in settings]
    labeled = [key for key in present if not (brief and _is_default_word(key, settings[key]))]
    words = [_phrase(key, settings[key], keys) for key in labeled or present]
    return ", ".join(words) or str(settings["objective.method"])


def _is_default_word(key: str, value: object) -> bool:
    if key == "objective.method" or not isinstance(value, str | bool):
        return False
    return _defaults().get(key, _ABSENT) == value


@cache
def _defaults() -> Mapping[str, object]:
    return {
        **dict(default_values(ExperimentConfig)),
        **dict(default_values(TeacherSettings, _ALL)),
        f"{_ALL}codec": codec_label(declare(CODEC.make())),
    }


def _phrase(key: str, value: object, keys: Sequence[str]) -> str:
    if isinstance(value, str) and "/" in value:
        text = Path(value).name
    elif isinstance(value, float):
        text = f"{value:g}"
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    if key in _PHRASES:
        return _PHRASES[key].format(text)
    return f"{_short(key, keys)} {text}"


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the shortest ending of a dotted key that no other differing key shares."""
    parts = key.removeprefix(_ALL).removeprefix("teachers.").split(".")
    for count in range(1, len(parts) + 1):
        tail = ".".join(parts[-count:])
        if sum(f".{other}".endswith(f".{tail}") for other in keys) <= 1:
            return tail
    return ".".join(parts)
