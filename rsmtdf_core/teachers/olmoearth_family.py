"""Teachers from OlmoEarth: transformers of the bands of Sentinel-2 or Landsat.

The models are those of the package olmoearth-pretrain-minimal; arXiv 2511.13655 describes them. A model makes a token
of each patch and group of bands: Sentinel-2 has three groups in version 1, and a single one in versions 1.1 and 1.2. A
teacher's tokens are the means over the groups that have bands. Missing bands of versions 1.1 and 1.2 are 0 after
normalization, as in their training.
"""

import logging
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.teachers.family import Statistics
from rsmtdf_core.teachers.rows import OlmoEarthSettings
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.weights.states import StateDict, load_exactly, without_prefix

logger = logging.getLogger(__name__)

Encoder: TypeAlias = Any
"""The library's encoder, a module; it has no types."""
Sensor: TypeAlias = Any
"""The library's description of a sensor's bands, a `ModalitySpec`; it has no types."""

_PACKAGE = "olmoearth_pretrain_minimal"
_MODALITIES = {"sentinel2": "sentinel2_l2a", "landsat": "landsat"}
_VERSIONS = ("v1", "v1_1", "v1_2")  # the tokens of v1_3 are those of another module, a pooler
# Values from `mean - 2 std` to `mean + 2 std` become 0 to 1.
_SPREADS = 2.0
_LARGEST = 10.0
# Tables with an entry for each modality.
_TABLES = (
    "patch_embeddings.per_modality_embeddings.",
    "composite_encodings.per_modality_channel_embeddings.",
)
# The head of the contrastive loss, and a constant table in earlier files that the package computes.
_UNUSED = ("project_and_aggregate.", "composite_encodings.pos_embed")


class _Input(NamedTuple):
    """The input of an encoder.

    Attributes:
        modality: the library's name of the sensor.
        bands: the place of each band of the teacher among the sensor's bands.
        groups: the groups of bands that have any of them.
        shape: the number of the sensor's bands, and of all groups.
    """

    modality: str
    bands: list[int]
    groups: list[int]
    shape: tuple[int, int]


class _Tap(nn.Module):
    """An encoder that outputs a token for each patch of a single image in time."""

    def __init__(
        self, encoder: nn.Module, inputs: _Input, settings: OlmoEarthSettings, resolution: float
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.inputs = inputs
        self.month = settings.month
        self.patch = settings.patch
        self.resolution = resolution

    def forward(self, images: Tensor) -> Tensor:
        """Compute tokens [B, H, W, D] of normalized images [B, bands, S, S]."""
        types = import_module(f"{_PACKAGE}.olmoearth_pretrain_v1.utils.datatypes")
        modality, bands, groups, (all_bands, all_groups) = self.inputs
        count, _, height, width = images.shape
        pixels_BHWTC = images.new_zeros(count, height, width, 1, all_bands)
        pixels_BHWTC[..., 0, bands] = images.permute(0, 2, 3, 1)
        shape, missing = (count, height, width, 1, all_groups), types.MaskValue.MISSING.value
        mask_BHWTG = torch.full(shape, missing, dtype=torch.long, device=images.device)
        mask_BHWTG[..., groups] = types.MaskValue.ONLINE_ENCODER.value
        # Day, month and year; months count from 0, and the encoder compares days between images only.
        date = torch.tensor([1, self.month - 1, 2020], device=images.device)
        sample = types.MaskedOlmoEarthSample(
            timestamps=date.expand(count, 1, 3),
            **{modality: pixels_BHWTC, f"{modality}_mask": mask_BHWTG},
        )
        outputs = self.encoder(
            sample,
            patch_size=self.patch,
            input_res=self.resolution,
            # Without masks, which need values that tensors on the meta device lack; shapes are the same.
            fast_pass=len(groups) == all_groups or images.is_meta,
        )
        tokens_BHWTGD: Tensor = getattr(outputs["tokens_and_masks"], modality)
        return tokens_BHWTGD[:, :, :, 0, groups].mean(3)


def hub_file(model: str) -> tuple[str, str]:
    """Return the repository and file name of a model's weights (see `family.Family`)."""
    _require_model(model)
    return f"allenai/{model}", "weights.pth"


def statistics(settings: TeacherSettings) -> Statistics:
    """Return the mean and standard deviation that map pixels to the model's input (see `family.Family`)."""
    assert isinstance(settings, OlmoEarthSettings)
    assert settings.scale is not None, "settings without a scale have a mean and std"
    modality = _modality(settings)
    table = _library().Normalizer(_SPREADS).norm_config[modality.name]
    mean, std = [], []
    for name, (low, high) in zip(settings.band_names, settings.scale, strict=True):
        center, spread = table[name]["mean"], table[name]["std"]
        mean.append((center - _SPREADS * spread - low) / (high - low))
        std.append(2 * _SPREADS * spread / (high - low))
    if max(map(abs, (*mean, *std))) > _LARGEST:
        raise TeacherError(
            f"the scale of teacher {settings.name!r} is too narrow for values of {settings.sensor}",
            remedy=f"correct scale of teacher {settings.name!r}, and bands.scale of the manifest",
        )
    return tuple(mean), tuple(std)


def build(settings: TeacherSettings, crop: int, state: StateDict | None) -> nn.Module:
    """Build an encoder as a module from images to tokens (see `family.Family`)."""
    assert isinstance(settings, OlmoEarthSettings)
    size = settings.input_size or crop
    if size % settings.patch:
        raise TeacherError(
            f"{settings.model!r} needs a side that is a multiple of {settings.patch} px, found {size}",
            remedy=f"change patch or input_size of teacher {settings.name!r}, or views.crop",
        )
    modality = _modality(settings)
    encoder = _encoder(settings.model, modality.name)
    inputs = _inputs(settings, encoder, modality)
    _require_block(settings, len(encoder.blocks))
    encoder.project_and_aggregate = nn.Identity()
    if state is not None:
        load_exactly(encoder, _of_modality(state, modality.name), _UNUSED)
    encoder.blocks = encoder.blocks[: settings.block % len(encoder.blocks) + 1]
    if not settings.final_norm:
        encoder.norm = nn.Identity()
    return _Tap(encoder, inputs, settings, settings.resolution * crop / size)


def _library() -> ModuleType:
    try:
        # The package makes tensors when it is imported, which may first be needed on the meta device.
        with torch.device("cpu"):
            return import_module(_PACKAGE)
    except ImportError as missing:
        raise TeacherError(
            f"teachers of the family olmoearth need the package {missing.name}",
            remedy="pip install 'rsmtdf[eo]'",
        ) from None


def _require_model(model: str) -> None:
    names = [name for name in map(str, _library().ModelID) if name.split("-")[1] in _VERSIONS]
    if model not in names:
        near = get_close_matches(model, names, n=3)
        raise TeacherError(
            f"olmoearth has no model {model!r}"
            + f", did you mean {' or '.join(near)}?" * bool(near),
            remedy=f"set the teacher's model to one of {', '.join(names)}",
        )


def _modality(settings: OlmoEarthSettings) -> Sensor:
    """Return the library's description of the sensor.

    Raises:
        TeacherError: If the sensor does not have the teacher's bands.
    """
    _library()
    constants = import_module(f"{_PACKAGE}.olmoearth_pretrain_v1.utils.constants")
    modality = constants.Modality.get(_MODALITIES[settings.sensor])
    unknown = [name for name in settings.band_names if name not in modality.band_order]
    if unknown:
        raise TeacherError(
            f"{settings.sensor} has no band {' and no band '.join(unknown)}",
            where=f"teachers.{settings.name}.band_names",
            remedy=f"name bands of {', '.join(sorted(modality.band_order))}",
        )
    return modality


def _encoder(model: str, modality: str) -> Encoder:
    _require_model(model)
    _, version, size = model.split("-")
    whole = _library().OlmoEarthPretrain_v1(
        size.lower(), version.replace("_", "."), supported_modality_names=[modality]
    )
    return whole.encoder


def _inputs(settings: OlmoEarthSettings, encoder: Encoder, modality: Sensor) -> _Input:
    """Place the teacher's bands among those of the sensor.

    Raises:
        TeacherError: If a model that never missed a band in training gets only a part of a group.
    """
    order = modality.band_order
    bands = [order.index(name) for name in settings.band_names]
    members = encoder.tokenization_config.get_bandset_indices(modality.name)
    groups = [index for index, group in enumerate(members) if set(group) & set(bands)]
    missing = [order[band] for index in groups for band in members[index] if band not in bands]
    if missing and not encoder.band_dropout_rate:
        raise TeacherError(
            f"{settings.model!r} sees whole groups of bands, and {', '.join(missing)} are missing",
            where=f"teachers.{settings.name}.band_names",
            remedy="complete or leave out each group of "
            + ", ".join(f"[{', '.join(order[band] for band in group)}]" for group in members)
            + "; or use a model of v1_1 or v1_2",
        )
    seen, whole = len(bands), len(bands) + len(missing)
    if len(missing) > encoder.band_dropout_rate * whole:
        _warn_of_missing(settings.model, seen, whole, encoder.band_dropout_rate)
    return _Input(modality.name, bands, groups, (len(order), len(members)))


@cache
def _warn_of_missing(model: str, seen: int, whole: int, rate: float) -> None:
    """Warn once per process that a teacher sees fewer bands than in its training."""
    text = "%s sees %d of %d bands; its training left out each with a probability of %g %% at most"
    logger.warning(text, model, seen, whole, 100 * rate)


def _require_block(settings: OlmoEarthSettings, blocks: int) -> None:
    if not -blocks <= settings.block < blocks:
        raise TeacherError(
            f"{settings.model!r} has no block {settings.block}: expected {-blocks} to {blocks - 1}",
            remedy=f"correct block of teacher {settings.name!r}",
        )


def _of_modality(state: StateDict, modality: str) -> StateDict:
    """Return the tensors of the encoder, without those of other modalities."""
    encoder = without_prefix(state, "encoder.") or state

    def is_used(name: str) -> bool:
        table = next(filter(name.startswith, _TABLES), None)
        return table is None or name.removeprefix(table).split(".")[0] == modality

    return {name: tensor for name, tensor in encoder.items() if is_used(name)}
