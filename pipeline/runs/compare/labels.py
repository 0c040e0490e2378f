"""What to call groups of runs: the settings in which they differ, in as few words as tell them apart."""

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

_ALL = "teachers.*."  # what is the same for all teachers of each group
_VIEWS = ("views.unlabeled_views", "views.labeled_views")
_K = "views.K"
# Keys whose values say by themselves what they are.
_PHRASES = {"objective.method": "{}", "objective.teachers": "{} teachers", "teachers": "{}"}
_ABSENT = object()


def label_groups(settings: Sequence[Flat]) -> list[tuple[str, dict[str, object]]]:
    """A label for each group, all different, and the settings in which it differs from others."""
    merged = _merged(settings)
    differing = _differing(merged, absent=False)
    for keys, brief in (
        (differing, True),
        (differing, False),
        (_differing(merged, absent=True), False),
    ):
        labels = [_label(one, keys, brief=brief) for one in merged]
        if len(set(labels)) == len(labels):
            break
    else:  # they differ in what one of them has not
        labels = [f"{label} ({number})" for number, label in enumerate(labels, 1)]
    return [
        (label, {key: one[key] for key in keys if key in one})
        for label, one in zip(labels, merged, strict=True)
    ]


def _merged(settings: Sequence[Flat]) -> list[Flat]:
    """The settings with one key in place of several that always have one value."""
    merged = [dict(one) for one in settings]
    if all(len({json.dumps(one[key]) for key in _VIEWS}) == 1 for one in merged):
        for one in merged:
            one[_K] = one[_VIEWS[0]]
            for key in _VIEWS:
                del one[key]
    tails = {key.split(".", 2)[2] for one in merged for key in one if _is_of_teacher(key)}
    for tail in sorted(tails):
        found = [[key for key in one if _is_of_teacher(key, tail)] for one in merged]
        values = [
            {json.dumps(one[key]) for key in keys} for one, keys in zip(merged, found, strict=True)
        ]
        if all(len(some) <= 1 for some in values):
            for one, keys in zip(merged, found, strict=True):
                if keys:
                    one[_ALL + tail] = one[keys[0]]
                for key in keys:
                    del one[key]
    return merged


def _is_of_teacher(key: str, tail: str | None = None) -> bool:
    parts = key.split(".", 2)
    return parts[0] == "teachers" and len(parts) == 3 and tail in (None, parts[2])


def _differing(settings: Sequence[Flat], *, absent: bool) -> list[str]:
    """Keys with several values among the groups that have them, or (`absent`) that not all have."""
    order = ["objective.method", "teachers", "objective.teachers", _K]
    keys = dict.fromkeys([*order, *(key for one in settings for key in one)])
    found = []
    for key in keys:
        values = {
            json.dumps(one[key]) if key in one else "" for one in settings if absent or key in one
        }
        if len(values) > 1:
            found.append(key)
    return found


def _label(settings: Flat, keys: Sequence[str], *, brief: bool) -> str:
    """The values of `keys`; a brief label leaves out words that are the config's defaults."""
    own = [key for key in keys if key in settings]
    told = [key for key in own if not (brief and _goes_without_saying(key, settings[key]))]
    words = [_phrase(key, settings[key], keys) for key in told or own]
    return ", ".join(words) or str(settings["objective.method"])


def _goes_without_saying(key: str, value: object) -> bool:
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
    """The last parts of a dotted key that no other differing key ends in."""
    parts = key.removeprefix(_ALL).removeprefix("teachers.").split(".")
    for count in range(1, len(parts) + 1):
        tail = ".".join(parts[-count:])
        if sum(f".{other}".endswith(f".{tail}") for other in keys) <= 1:
            return tail
    return ".".join(parts)
