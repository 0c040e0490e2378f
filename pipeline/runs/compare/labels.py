"""Labels groups of runs by the settings in which they differ, in as few words as possible."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pipeline.config import ExperimentConfig
from pipeline.runs.compare.groups import Flat
from pipeline.runs.summary import codec_label
from rsmtdf_core.choices import default_values
from rsmtdf_core.codecs import declare
from rsmtdf_core.teachers.settings import CODEC, TeacherSettings
from rsmtdf_core.words import shortened

_ALL = "teachers.*."  # prefix of settings that are the same for all teachers of a group
_VIEWS = ("views.unlabeled_views", "views.labeled_views")
_K = "views.K"
_METHOD = "objective.method"
_LONGEST = 60  # characters of a label
_LONGEST_VALUE = 28  # characters of a value in a label
# Keys whose values are clear without the name of the key.
_PHRASES = {_METHOD: "{}", "objective.teachers": "{} teachers", "teachers": "{}"}
_ABSENT = object()


def label_groups(settings: Sequence[Flat]) -> list[tuple[str, dict[str, object]]]:
    """Return a unique label of at most 60 characters for each group, and the settings that differ from others.

    A label has the fewest keys that distinguish all groups. The settings have all keys with different values, except
    for keys with their defaults that other groups, such as those of other methods, do not have.
    """
    merged = _merged(settings)
    differing = _differing(merged)
    keys = _fewest(merged, differing)
    labels = [_label(group, keys, brief=True) for group in merged]
    if len(set(labels)) < len(labels):
        labels = [_label(group, keys, brief=False) for group in merged]
    if len(set(labels)) < len(
        labels
    ):  # cut to the same text, or distinguished only by a missing key
        most = _LONGEST - len(f" ({len(labels)})")
        labels = [f"{shortened(label, most)} ({number})" for number, label in enumerate(labels, 1)]
    return [
        (
            label,
            {
                key: group[key]
                for key in differing
                if key in group and (key in keys or _is_telling(key, merged))
            },
        )
        for label, group in zip(labels, merged, strict=True)
    ]


def _is_telling(key: str, groups: Sequence[Flat]) -> bool:
    """Whether all groups have the key, or one of them has another value than the default."""
    values = [group.get(key, _ABSENT) for group in groups]
    default = _defaults().get(key, _ABSENT)
    return _ABSENT not in values or any(value not in (_ABSENT, default) for value in values)


def _fewest(groups: Sequence[Flat], keys: Sequence[str]) -> list[str]:
    """Choose few keys whose values distinguish all groups: the method if it differs, then greedily."""
    values = {key: [_text(group, key) for group in groups] for key in keys}
    chosen = [key for key in keys if key == _METHOD]
    distinct = len(set(zip(*(values[key] for key in chosen), strict=True))) if chosen else 1
    while distinct < len(groups):
        rows = list(zip(*(values[key] for key in chosen), strict=True)) or [()] * len(groups)
        splits = {key: len(set(zip(rows, values[key], strict=True))) for key in keys}
        best = max(splits, key=splits.__getitem__, default=None)
        if best is None or splits[best] <= distinct:
            break
        chosen.append(best)
        distinct = splits[best]
    for key in chosen[::-1]:  # a later key may make an earlier one unnecessary
        others = [values[other] for other in chosen if other != key]
        if key != _METHOD and others and len(set(zip(*others, strict=True))) == distinct:
            chosen.remove(key)
    return [key for key in keys if key in chosen]


def _text(group: Flat, key: str) -> str:
    return json.dumps(group[key]) if key in group else ""


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


def _differing(settings: Sequence[Flat]) -> list[str]:
    """List the keys whose values differ among groups, those that every group has first."""
    order = [_METHOD, "teachers", "objective.teachers", _K]
    keys = dict.fromkeys([*order, *(key for group in settings for key in group)])
    differing = [key for key in keys if len({_text(group, key) for group in settings}) > 1]
    return sorted(
        differing,
        key=lambda key: (
            key not in order,
            not _is_shared(key, settings),
            order.index(key) if key in order else 0,
        ),
    )


def _is_shared(key: str, settings: Sequence[Flat]) -> bool:
    """Whether the groups that have a key differ in it, so that it is not only missing in some."""
    return len({_text(group, key) for group in settings if key in group}) > 1


def _label(settings: Flat, keys: Sequence[str], *, brief: bool) -> str:
    """Describe the values of `keys`; a brief label omits words and switches with default values."""
    present = [key for key in keys if key in settings]
    labeled = [key for key in present if not (brief and _is_default_word(key, settings[key]))]
    words = [_phrase(key, settings[key], keys) for key in labeled or present]
    return shortened(", ".join(words) or str(settings[_METHOD]), _LONGEST)


def _is_default_word(key: str, value: object) -> bool:
    if key == _METHOD or not isinstance(value, str | bool):
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
    text = shortened(text, _LONGEST_VALUE)
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
