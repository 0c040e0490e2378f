"""The student's network with its initial weights, from timm (tests: test_encoder.py)."""

import difflib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsmtdf_core.errors import ConfigError, MissingFileError, TeacherError
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.weights.hub import cached_file, download
from rsmtdf_core.weights.states import load_exactly, read_state, timm_state
from rsmtdf_core.weights.timm_layout import Layout, UnfitSizeError, find_layout
from rsmtdf_core.weights.timm_models import (
    HUB,
    LIST_MODELS,
    Created,
    create,
    fetch_config,
    find_model,
    hub_file,
    statistics,
)


def require_layout(settings: StudentSettings, crop: int, bands: int) -> Layout:
    """Find the sizes of images that the encoder takes, and its maps, without its weights.

    Args:
        settings: the student.
        crop: side of the training views, px.
        bands: number of image bands.

    Raises:
        ConfigError: If the encoder is unknown, outputs no maps of views of this size, or takes other sizes.
    """
    name = settings.encoder
    _require_known(name)
    try:
        layout, reason = _fitting_layout(name, crop, bands)
    except TeacherError as fault:
        raise ConfigError(fault.what, where="student.encoder", remedy=fault.remedy) from fault
    if layout is None or (reason is not None and crop % layout.unit == 0):
        raise ConfigError(
            f"'{name}' cannot be a student for views of {crop} px: {reason}",
            where="student.encoder",
            remedy="set student.encoder to another model, such as vit_small_patch14_dinov2.lvd142m or resnet50, or "
            "views.crop to the size that the model was trained at",
        ) from reason
    if crop % layout.unit:
        nearest = max(1, round(crop / layout.unit)) * layout.unit
        raise ConfigError(
            f"the student's patch of {layout.unit} px does not divide a crop of {crop} px",
            where="views.crop",
            remedy=f"set views.crop to a multiple of {layout.unit}, such as {nearest}",
        )
    return layout


def _fitting_layout(
    name: str, crop: int, bands: int
) -> tuple[Layout | None, UnfitSizeError | None]:
    """Return the layout for the crop, or else for another size, with the reason why not for the crop."""
    reason = None
    trained = max(find_model(name).config.input_size[-2:])
    for side in dict.fromkeys((crop, max(1, round(crop / 32)) * 32, trained)):
        try:
            return find_layout(name, side, bands), reason
        except UnfitSizeError as unfit:
            reason = reason or unfit
    return None, reason


def _require_known(name: str) -> None:
    """Check that timm has the architecture, and suggest a close name otherwise."""
    import timm

    architecture = name.split(".", 1)[0]
    if name.startswith(HUB) or timm.is_model(architecture):
        return
    close = difflib.get_close_matches(architecture, timm.list_models(), n=1)
    raise ConfigError(
        f"timm has no model '{name}'" + (f", did you mean '{close[0]}'?" if close else ""),
        where="student.encoder",
        remedy=f"correct student.encoder; list all models: {LIST_MODELS}",
    )


def load_net(settings: StudentSettings, layout: Layout, bands: int) -> Any:  # noqa: ANN401 - timm has no types
    """Create the network of an encoder, and load its weights.

    Raises:
        ConfigError: If the weights are unavailable or do not fit.
        MissingFileError: If `settings.weights` is the path of a missing file.
    """
    name, weights = settings.encoder, settings.weights
    created = create(name, for_weights=weights != "random", in_chans=bands, **layout.options)
    if weights != "random":
        _load_file(created, _cached_file(name) if weights == "hub" else Path(weights).expanduser())
    return created.net


def input_statistics(
    settings: StudentSettings,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the first three bands: of the settings, or else of the model.

    Raises:
        ConfigError: If timm has no such model.
    """
    if settings.mean is not None and settings.std is not None:
        return settings.mean, settings.std
    mean, std = model_statistics(settings)
    return settings.mean or mean, settings.std or std


def model_statistics(
    settings: StudentSettings,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation that the encoder was trained with.

    Raises:
        ConfigError: If timm has no such model.
    """
    _require_known(settings.encoder)
    try:
        return statistics(settings.encoder)
    except TeacherError as fault:
        raise ConfigError(fault.what, where="student.encoder", remedy=fault.remedy) from fault


def fetch_encoder(settings: StudentSettings) -> None:
    """Download the encoder's weights to the hub's local cache, if `settings.weights` is "hub".

    Raises:
        ConfigError: If the hub has no weights for this encoder.
        OSError: If the hub is unreachable.
    """
    fetch_config(settings.encoder)
    if settings.weights == "hub":
        download(*_hub_file(settings.encoder))


def _hub_file(encoder: str) -> tuple[str, str]:
    try:
        return hub_file(encoder)
    except TeacherError as fault:
        raise ConfigError(
            fault.what,
            where="student.weights",
            remedy="set student.weights to the path of a file, or to 'random'",
        ) from fault


def _cached_file(encoder: str) -> Path:
    """Return the path of the encoder's weights in the hub's local cache; never use the network."""
    repository, name = _hub_file(encoder)
    path = cached_file(repository, name)
    if path is None:
        raise ConfigError(
            f"the weights of the student's encoder '{encoder}' are not in the hub's local cache",
            where="student.weights",
            remedy=f"run `hf download {repository} {name}` on a machine with network access and share "
            "the cache (HF_HOME), or set student.weights to the path of a file, or to 'random'",
        )
    return path


def _load_file(created: Created, path: Path) -> None:
    """Load every tensor of a network from a file with timm's names or those of the original code."""
    if not path.exists():
        raise MissingFileError(
            "the student's weights file does not exist",
            where=f"student.weights: {path}",
            remedy="set student.weights to an existing file, 'hub' or 'random'",
        )
    net = created.net
    classifier = net.pretrained_cfg.get("classifier") or ()
    unused = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    try:
        state = timm_state(created, read_state(path))
        _widen(net, state)
        load_exactly(net, state, tuple(f"{layer}." for layer in unused))
    except TeacherError as fault:
        raise ConfigError(
            fault.what, where=f"student.weights: {path}", remedy=fault.remedy
        ) from fault


def _widen(net: Any, state: dict[str, Tensor]) -> None:  # noqa: ANN401 - timm ships no types
    """Pad the first convolution in `state` with zeros for additional bands."""
    name = f"{net.pretrained_cfg.get('first_conv')}.weight"
    if name not in state or state[name].ndim < 2:
        return
    missing = net.get_parameter(name).shape[1] - state[name].shape[1]
    if missing > 0:
        state[name] = torch.cat([state[name], *[torch.zeros_like(state[name][:, :1])] * missing], 1)
