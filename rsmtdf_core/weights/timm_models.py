"""timm's models by name: their config, their weights on the hub, and their own conversion of weights."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.hub import cached_file, download

HUB = "hf-hub:"
"""Prefix of a model that a repository of the hub describes, as in timm: hf-hub:owner/name."""

Conversion = Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]]

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_building = threading.Lock()


class TimmModel(NamedTuple):
    """A model that timm can create.

    Attributes:
        architecture: name of the architecture, without the tag of weights.
        config: timm's `PretrainedCfg` of the weights: input size, mean, std, names of first layer and classifier.
        options: arguments of `timm.create_model` that a repository's config gives.
    """

    architecture: str
    config: Any
    options: dict[str, Any]


class Created(NamedTuple):
    """A new model with random weights.

    Attributes:
        net: the model, without a classifier.
        convert: timm's conversion of a file's tensors to the names and sizes of `net`; None if it has none, or if no
            weights will be loaded.
        is_resized: whether `net` is for another size of images than the default.
    """

    net: Any
    convert: Conversion | None
    is_resized: bool


def create(model: str, *, for_weights: bool = False, **options: object) -> Created:
    """Create a model without a classifier, on the current default device.

    Args:
        model: name of the model, as in `find_model`.
        for_weights: whether pretrained weights will be loaded; a few architectures then have other constants.
        **options: further arguments of `timm.create_model`, such as `img_size`.

    Raises:
        TeacherError: If timm has no such model.
        Exception: If the model does not take an option; timm's models raise any class.
    """
    import timm

    architecture, config, chosen = find_model(model)
    with _building, _recorded_conversion() as conversions:
        net = timm.create_model(
            architecture,
            pretrained=for_weights,
            pretrained_cfg=config,
            num_classes=0,
            **{**chosen, **options},
        )
    return Created(net, conversions[-1] if conversions else None, "img_size" in options)


def statistics(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation, by channel, of the inputs that a model was trained with.

    Raises:
        TeacherError: If timm has no such model.
    """
    config = find_model(model).config
    return tuple(map(float, config.mean)), tuple(map(float, config.std))


LIST_MODELS = "python -c 'import timm; print(*timm.list_models())'"


def hub_file(model: str) -> tuple[str, str]:
    """Return the repository and file name of a timm model's pretrained weights.

    Raises:
        TeacherError: If timm has no such model, or the hub has no weights for it.
    """
    if repository := _repository(model):
        return repository, _WEIGHTS
    repository = find_model(model).config.hf_hub_id
    if not repository:
        raise TeacherError(
            f"timm has no weights for {model!r} on the hub",
            remedy="set the teacher's weights to the path of a file, or to random",
        )
    return repository, _WEIGHTS


def fetch_config(model: str) -> None:
    """Download the config of a model that the hub describes; models of timm's registry need none.

    Raises:
        OSError: If the hub cannot be reached or has no such file.
    """
    if repository := _repository(model):
        download(repository, _CONFIG)


def find_model(model: str) -> TimmModel:
    """Find a model by name, without the network.

    Args:
        model: name of an architecture with the tag of its weights after a dot, or `hf-hub:owner/name`. Repositories
            of timm itself are found in timm's registry, others by the `config.json` in the hub's local cache.

    Raises:
        TeacherError: If timm has no such model, or the config is not in the cache.
    """
    if repository := _repository(model):
        return _described(repository)
    name = _registered(model)
    import timm

    try:
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # the model exists, its tag does not
        config = None
    if config is None:
        near = get_close_matches(name, timm.list_models(pretrained=True), n=3)
        raise TeacherError(
            f"timm has no model {model!r}" + (f", did you mean {' or '.join(near)}?" * bool(near)),
            remedy=f"correct the teacher's model; list all models: {LIST_MODELS}",
        )
    return TimmModel(name.split(".", 1)[0], config, {})


def _registered(model: str) -> str:
    """Return the name in timm's registry of a repository of timm's own, and any other name as it is."""
    return model.removeprefix(HUB).removeprefix("timm/") if model.startswith(HUB) else model


def _repository(model: str) -> str | None:
    """Return the repository that describes a model; None if timm's registry does."""
    import timm

    if not model.startswith(HUB):
        return None
    repository = model.removeprefix(HUB)
    return None if timm.is_model(_registered(model).split(".", 1)[0]) else repository


def _described(repository: str) -> TimmModel:
    """Read a model's config from the hub's local cache."""
    import timm
    from timm.models import PretrainedCfg

    path = cached_file(repository, _CONFIG)
    if path is None:
        raise TeacherError(
            f"the config of '{HUB}{repository}' is not in the hub's local cache",
            where=f"huggingface.co/{repository}/{_CONFIG}",
            remedy=f"run `hf download {repository} {_CONFIG} {_WEIGHTS}` on a machine with network access and share "
            "the cache (HF_HOME)",
        )
    try:
        values = json.loads(Path(path).read_bytes())
        architecture = str(values["architecture"])
        options = dict(values.get("model_args") or {})
        stated = dict(values.get("pretrained_cfg") or {})
        fields = PretrainedCfg.__dataclass_fields__.keys()
        config = PretrainedCfg(**{key: stated[key] for key in stated.keys() & fields})
    except (ValueError, KeyError, TypeError) as damage:
        raise TeacherError(
            f"not the config of a timm model: {damage!r}",
            where=path,
            remedy="name a repository of a timm model, or give an architecture and the path of its weights",
        ) from damage
    if not timm.is_model(architecture):
        raise TeacherError(
            f"timm has no architecture {architecture!r}, which '{HUB}{repository}' names",
            where=path,
            remedy="update timm, or choose another model",
        )
    return TimmModel(architecture, config, options)


@contextmanager
def _recorded_conversion() -> Iterator[list[Conversion | None]]:
    """Keep timm from loading weights, and record the conversion that it would apply to a file.

    timm hands the conversion, with the parameters of the architecture (such as the way to resize positions), to the
    function that loads weights, and to no other.
    """
    from timm.models import _builder

    conversions: list[Conversion | None] = []

    def record(*_: object, filter_fn: Conversion | None = None, **__: object) -> None:
        conversions.append(filter_fn)

    load_pretrained = _builder.load_pretrained
    _builder.load_pretrained = record
    try:
        yield conversions
    finally:
        _builder.load_pretrained = load_pretrained
