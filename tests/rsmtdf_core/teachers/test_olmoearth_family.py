import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.teachers import olmoearth_family
from rsmtdf_core.teachers.family import input_statistics
from rsmtdf_core.teachers.rows import OlmoEarthSettings
from rsmtdf_core.teachers.teacher import declared_identity, declared_shape, load_teacher
from rsmtdf_core.tokens import TokenShape

# The published nano models, as their files are laid out.
WIDTH, DEPTH, HEADS, HIDDEN, SIDE = 128, 4, 8, 12, 8
SENTINEL2 = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09"]
GROUPS = {
    "v1": {"sentinel2_l2a": (4, 6, 2), "sentinel1": (2,), "landsat": (1, 10)},
    "v1_1": {"sentinel2_l2a": (12,), "sentinel1": (2,), "landsat": (11,)},
}
GROUPS["v1_2"] = GROUPS["v1_1"]
State = dict[str, torch.Tensor]


def linear(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def layout(version: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the encoder of a published nano model."""
    shapes = linear("norm", WIDTH) | linear("project_and_aggregate.projection.0", WIDTH, WIDTH)
    for block in (f"blocks.{number}" for number in range(DEPTH)):
        shapes |= linear(f"{block}.norm1", WIDTH) | linear(f"{block}.norm2", WIDTH)
        for part in ("q", "k", "v", "proj"):
            shapes |= linear(f"{block}.attn.{part}", WIDTH, WIDTH)
        shapes |= linear(f"{block}.mlp.fc1", 4 * WIDTH, WIDTH)
        shapes |= linear(f"{block}.mlp.fc2", WIDTH, 4 * WIDTH)
        if version == "v1_2":
            shapes[f"{block}.attn.rope_mixed_freqs"] = (3, HEADS, WIDTH // HEADS // 2)
    shapes["composite_encodings.month_embed.weight"] = (12, WIDTH // 4)
    if version == "v1":
        shapes["composite_encodings.pos_embed"] = (12, WIDTH // 4)
    for modality, groups in GROUPS[version].items():
        table = "composite_encodings.per_modality_channel_embeddings"
        shapes[f"{table}.{modality}"] = (len(groups), WIDTH // 4)
        for index, bands in enumerate(groups):
            part = f"patch_embeddings.per_modality_embeddings.{modality}.{modality}__{index}"
            if version == "v1":
                shapes |= linear(f"{part}.proj", WIDTH, bands, SIDE, SIDE)
            else:
                shapes |= linear(f"{part}.pixel_proj.0", HIDDEN, bands)
                shapes |= linear(f"{part}.proj", WIDTH, SIDE * SIDE * HIDDEN)
    return shapes


def checkpoint(version: str) -> State:
    """A file of random numbers in the layout of a published one, with the parts that a teacher does not use."""
    generator = torch.Generator().manual_seed(len(version))
    state = {
        f"{part}.{name}": torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))
        for part in ("encoder", "target_encoder")
        for name, shape in layout(version).items()
    }
    return {**state, "decoder.mask_token": torch.zeros(WIDTH)}


def settings(version: str = "v1", **changes: object) -> OlmoEarthSettings:
    common = {"name": "eo", "family": "olmoearth", "weights": "random", "scale": (0, 3000)}
    model = f"OlmoEarth-{version}-Nano"
    names = ("B04", "B03", "B02", "B08")
    return OlmoEarthSettings(**{**common, "model": model, "band_names": names, **changes})


def images(bands: int, side: int = 32) -> torch.Tensor:
    return torch.randn(2, bands, side, side, generator=torch.Generator().manual_seed(bands))


def waves(positions: torch.Tensor, width: int) -> torch.Tensor:
    """Sine and cosine of positions [N], [N, width]; the wavelengths are those of the published code."""
    angles = positions[:, None] / 10_000 ** (torch.arange(width // 2) / width / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def rotated(vectors: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate adjacent pairs of numbers of vectors [..., D] by angles [..., D / 2]."""
    pairs = torch.view_as_complex(vectors.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def plain_tokens(
    state: State, pixels: list[torch.Tensor], groups: list[int], version: str, given: dict
) -> torch.Tensor:
    """The tokens [B, H, W, D] of the pixels of each group [B, C, S, S], by the description of the model."""
    weights = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}
    month, patch, resolution = given["month"], given["patch"], given["resolution"]

    def apply(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    count, _, side, _ = pixels[0].shape
    grid = side // patch
    row, column = torch.arange(grid).repeat_interleave(grid), torch.arange(grid).repeat(grid)
    places = torch.stack([row, column]) * (resolution * patch / 10)
    part = WIDTH // 4
    channels = weights["composite_encodings.per_modality_channel_embeddings.sentinel2_l2a"]
    tokens = []
    for index, seen in zip(groups, pixels, strict=True):
        name = f"patch_embeddings.per_modality_embeddings.sentinel2_l2a.sentinel2_l2a__{index}"
        size = (grid * SIDE, grid * SIDE)
        as_trained = F.interpolate(seen, size, mode="bicubic", antialias=True)
        group = seen if patch == SIDE else as_trained
        if version == "v1":
            kernel = weights[f"{name}.proj.weight"].flatten(1)
            columns = F.unfold(group, SIDE, stride=SIDE).mT
            embedded = columns @ kernel.T + weights[f"{name}.proj.bias"]
        else:
            hidden = apply(f"{name}.pixel_proj.0", group.permute(0, 2, 3, 1)).relu()
            patches = hidden.reshape(count, grid, SIDE, grid, SIDE, HIDDEN).transpose(2, 3)
            embedded = apply(f"{name}.proj", patches.reshape(count, grid * grid, -1))
        encoding = torch.zeros(grid * grid, WIDTH)
        encoding[:, :part] = channels[index]
        encoding[:, 2 * part : 3 * part] = weights["composite_encodings.month_embed.weight"][
            month - 1
        ]
        if version != "v1_2":
            encoding[:, part : 2 * part] = waves(torch.zeros(1), part)
            encoding[:, 3 * part :] = torch.cat(
                [waves(places[1], part // 2), waves(places[0], part // 2)], dim=1
            )
        tokens.append(embedded + encoding)
    x = torch.cat(tokens, dim=1)
    for block in (f"blocks.{number}" for number in range(given.get("blocks", DEPTH))):
        normed = norm(f"{block}.norm1", x)
        q, k, v = (
            apply(f"{block}.attn.{part}", normed).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in "qkv"
        )
        if version == "v1_2":
            _, by_row, by_column = weights[f"{block}.attn.rope_mixed_freqs"][:, :, None]
            angles = places[0, :, None] * by_row + places[1, :, None] * by_column
            q, k = rotated(q, angles), rotated(k, angles)
        shares = (q @ k.mT / math.sqrt(WIDTH // HEADS)).softmax(dim=-1)
        x = x + apply(f"{block}.attn.proj", (shares @ v).transpose(1, 2).flatten(2))
        hidden = F.gelu(apply(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + apply(f"{block}.mlp.fc2", hidden)
    groups_first = norm("norm", x).unflatten(1, (len(groups), grid, grid))
    return groups_first.mean(1)


@pytest.mark.parametrize(
    ("version", "names", "groups", "given"),
    [
        ("v1", ("B04", "B03", "B02", "B08"), [0], {}),
        ("v1", ("B09", "B08", "B01", "B04", "B03", "B02"), [0, 2], {"month": 1, "patch": 4}),
        ("v1", tuple(sorted(SENTINEL2)), [0, 1, 2], {"resolution": 20.0, "blocks": 2}),
        ("v1_1", ("B04", "B03", "B02", "B08", "B11"), [0], {"month": 12, "patch": 2}),
        ("v1_2", ("B8A", "B12", "B04"), [0], {"resolution": 2.5, "blocks": 3}),
    ],
)
def test_tokens_of_published_files_are_those_of_the_described_model(version, names, groups, given):
    state, seen = checkpoint(version), images(len(names))
    changes = {"month": 7, "patch": 8, "resolution": 10.0, **given}
    keys = {key: value for key, value in changes.items() if key != "blocks"}
    chosen = settings(version, band_names=names, block=changes.get("blocks", 0) - 1, **keys)
    module = olmoearth_family.build(chosen, 32, state).eval()
    sensor = torch.zeros(2, len(SENTINEL2), 32, 32)
    sensor[:, [SENTINEL2.index(name) for name in names]] = seen
    starts = {"v1": [0, 4, 10, 12]}.get(version, [0, 12])
    pixels = [sensor[:, starts[index] : starts[index + 1]] for index in groups]
    with torch.inference_mode():
        expected = plain_tokens(state, pixels, groups, version, changes)
        torch.testing.assert_close(module(seen), expected, rtol=1e-4, atol=1e-4)


def test_the_order_of_a_teachers_bands_does_not_matter():
    state, seen = checkpoint("v1"), images(4)
    one = olmoearth_family.build(settings(), 32, state).eval()
    names = ("B08", "B02", "B04", "B03")
    other = olmoearth_family.build(settings(band_names=names), 32, state).eval()
    with torch.inference_mode():
        assert torch.equal(one(seen), other(seen[:, [3, 2, 0, 1]]))


def test_statistics_map_the_sensors_values_as_the_package_does():
    package = pytest.importorskip("olmoearth_pretrain_minimal")
    constants = sys.modules[f"{package.__name__}.olmoearth_pretrain_v1.utils.constants"]
    names = tuple(sorted(SENTINEL2))
    scale = [(-500.0 + 10 * index, 4000.0 + 100 * index) for index in range(len(names))]
    chosen = settings(band_names=names, scale=scale)
    mean, std = map(torch.tensor, input_statistics(chosen))
    shares = torch.rand(9, len(names), generator=torch.Generator().manual_seed(0))
    low, high = torch.tensor(scale).T
    values = (low + shares * (high - low))[:, [names.index(name) for name in SENTINEL2]]
    expected = package.Normalizer().normalize(constants.Modality.SENTINEL2_L2A, values.numpy())
    found = ((shares - mean) / std)[:, [names.index(name) for name in SENTINEL2]]
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-5)


def test_landsat_has_names_and_statistics_of_its_own():
    chosen = settings(sensor="landsat", band_names=("B8",), scale=(5000, 20_000))
    mean, std = input_statistics(chosen)
    assert len(mean) == len(std) == 1
    assert declared_shape(chosen, 32) == TokenShape("eo", 4, 4, WIDTH, None)
    with pytest.raises(TeacherError, match="landsat has no band B04 and no band B8A") as caught:
        input_statistics(settings(sensor="landsat", band_names=("B04", "B8A", "B1")))
    assert "B1, B10, B11, B2" in (caught.value.remedy or "")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_teacher_reads_a_published_file(tmp_path: Path, suffix: str):
    state = checkpoint("v1_1")
    path = tmp_path / f"weights.{suffix}"
    torch.save(state, path) if suffix == "pth" else save_file(state, path)
    chosen = settings("v1_1", weights=str(path))
    teacher = load_teacher(chosen, 32)
    views = (images(6) * 40 + 128).clamp(0, 255).to(torch.uint8)
    tokens = teacher.tokens(views)
    assert tokens.shape == (2, 4, 4, WIDTH)
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in input_statistics(chosen))
    module = olmoearth_family.build(chosen, 32, state).eval()
    with torch.inference_mode():
        expected = module((views[:, :4].float() / 255 - mean) / std)
    torch.testing.assert_close(tokens, expected)
    assert teacher.identity() == declared_identity(chosen, 32)


def test_bf16_tokens_are_near_those_of_fp32():
    states = [load_teacher(settings(precision=precision), 32) for precision in ("fp32", "bf16")]
    views = (images(4) * 40 + 128).clamp(0, 255).to(torch.uint8)
    exact, rounded = (teacher.tokens(views) for teacher in states)
    assert 0 < (exact - rounded).norm() / exact.norm() < 0.05


@pytest.mark.parametrize(
    ("version", "damage", "message"),
    [
        ("v1_2", None, "blocks.0.attn.rope_mixed_freqs: expected nothing"),  # of another version
        ("v1_1", "blocks.3.norm2.bias", "blocks.3.norm2.bias: expected .*, found nothing"),
        (
            "v1_1",
            "composite_encodings.per_modality_channel_embeddings.sentinel2_l2a",
            "channel_embeddings.sentinel2_l2a: expected .*, found nothing",
        ),
    ],
)
def test_files_of_other_models_are_refused(version: str, damage: str | None, message: str):
    state = checkpoint(version)
    state.pop(f"encoder.{damage}", None)
    with pytest.raises(TeacherError, match=message):
        olmoearth_family.build(settings("v1_1"), 32, state)


@pytest.mark.parametrize(
    ("changes", "message", "remedy"),
    [
        ({"model": "OlmoEarth-v1-Nana"}, "did you mean .*OlmoEarth-v1-Nano", "OlmoEarth-v1_2-Base"),
        ({"model": "OlmoEarth-v1_3-Base"}, "no model 'OlmoEarth-v1_3-Base'", "OlmoEarth-v1_2-Base"),
        ({"block": 4}, "no block 4: expected -4 to 3", "block of teacher 'eo'"),
        ({"patch": 5}, "multiple of 5 px, found 32", "patch or input_size"),
        ({"band_names": ("B04", "NIR", "B02", "B08")}, "no band NIR", "B01, B02"),
        ({"band_names": ("B04", "B03", "B02", "B11")}, "and B08, B05, B06, .* missing", r"v1_1"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(changes, message, remedy):
    with pytest.raises(TeacherError, match=message) as caught:
        olmoearth_family.build(settings(**changes), 32, None)
    assert remedy in (caught.value.remedy or "")


def test_fewer_bands_than_in_training_are_a_warning(caplog):
    olmoearth_family._warn_of_missing.cache_clear()
    for bands in (10, 9, 4, 4):
        names = tuple(SENTINEL2[:bands])
        declared_shape(settings("v1_1", band_names=names), 32)
    assert [record.message.split(" bands")[0] for record in caplog.records] == [
        "OlmoEarth-v1_1-Nano sees 9 of 12",
        "OlmoEarth-v1_1-Nano sees 4 of 12",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": None}, "scale: give the sensor's values"),
        ({"scale": [[0, 1], [0, 1]]}, "scale has 2 pairs for 4 bands"),
        ({"scale": [3000, 0]}, "from low to high"),
        ({"bands": (1, 2, 3)}, "bands: found 3 for 4 band_names"),
        ({"band_names": ("B04", "B04", "B02", "B08")}, "a name occurs twice"),
        ({"mean": (0.5,) * 3}, "mean: found 3 numbers for 4 bands"),
        ({"month": 13}, "month"),
        ({"patch": 9}, "patch"),
        ({"sensor": "modis"}, "sensor"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_a_scale_that_no_run_could_record_is_refused():
    with pytest.raises(TeacherError, match="scale of teacher 'eo' is too narrow"):
        input_statistics(settings(scale=(0, 1)))


def test_the_first_bands_are_seen_by_default_and_all_keys_decide_the_identity():
    plain = settings()
    assert plain.seen_bands == (1, 2, 3, 4)
    changes = (
        *({"bands": (4, 3, 2, 1)}, {"band_names": ("B02", "B03", "B04", "B08")}, {"month": 1}),
        *({"scale": (0, 4000)}, {"resolution": 20}, {"patch": 4}, {"mean": (0,) * 4}),
    )
    identities = [declared_identity(settings(**change), 32) for change in ({}, *changes)]
    assert all(first not in identities[:index] for index, first in enumerate(identities))
    explicit = settings(bands=(1, 2, 3, 4), scale=[[0, 3000]] * 4, month=7)
    assert declared_identity(explicit, 32) == identities[0]


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "olmoearth_pretrain_minimal", None)
    with pytest.raises(TeacherError, match="need the package olmoearth_pretrain_minimal") as caught:
        declared_shape(settings(), 32)
    assert caught.value.remedy == "pip install 'rsmtdf[eo]'"
