"""Both reference teachers against numbers of the official code, and the real weights at hand."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import PROBE_TOLERANCE, load_teacher, probe_difference
from rsmtdf_core.tokens import TokenShape

pytestmark = [pytest.mark.shared, pytest.mark.slow]


@pytest.fixture(scope="module")
def images(rule: ModuleType) -> torch.Tensor:
    """The first of the two golden images; the second would double the time without checking more."""
    return rule.rule_tensor("input/image", [2, 3, 518, 518], 1.0)[:1]


@pytest.fixture
def weights(rule: ModuleType, shared: Path, tmp_path: Path) -> Iterator["Writer"]:
    writer = Writer(rule, shared, tmp_path)
    yield writer
    for path in tmp_path.iterdir():  # a GB each, and pytest keeps the folders of three runs
        path.unlink()


class Writer:
    """Writes a group of rule-made weights as the file that the official README names."""

    def __init__(self, rule: ModuleType, shared: Path, folder: Path) -> None:
        self.rule = rule
        self.shapes = json.loads((shared / "golden" / "official_shapes.json").read_text())
        self.folder = folder

    def __call__(self, group: str, name: str) -> str:
        path, state = self.folder / name, self.rule.rule_state(self.shapes[group])
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
        return str(path)


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual.numpy() - expected) / np.linalg.norm(expected))


def test_dinov2_base_from_its_official_file_gives_the_official_tokens(shared, weights, images):
    settings = TeacherSettings(
        name="dino",
        family="timm",
        model="vit_base_patch14_dinov2.lvd142m",
        weights=weights("dinov2_base", "dinov2_vitb14_pretrain.pth"),
    )
    teacher = load_teacher(settings, 518)
    assert teacher.shape == TokenShape("dino", 37, 37, 768)
    sample = teacher.normalised_tokens(images).flatten(1, 2)[:, ::37, ::16]
    golden = np.load(shared / "golden" / "official_small_518.npz")
    assert relative_error(sample, golden["teacher_dino"][:1]) < 1e-4


def test_clip_large_under_its_official_names_gives_the_official_tokens(shared, weights, images):
    settings = TeacherSettings(
        name="clip",
        family="open_clip",
        model="ViT-L-14-quickgelu",
        weights=weights("clip_vit_l_14_visual", "ViT-L-14.safetensors"),
        input_size=224,
        final_norm=False,
    )
    teacher = load_teacher(settings, 518)
    assert teacher.shape == TokenShape("clip", 16, 16, 1024, 224)
    sample = teacher.normalised_tokens(images).flatten(1, 2)[:, ::16, ::16]
    golden = np.load(shared / "golden" / "official_small_518.npz")
    assert relative_error(sample, golden["teacher_clip"][:1]) < 1e-4


def test_real_dinov2_weights_load_and_their_probe_survives_other_kernels(shared: Path):
    settings = TeacherSettings(
        name="lineage",
        family="timm",
        model="vit_small_patch14_dinov2.lvd142m",
        weights=str(shared / "weights" / "dinov2_vits14_lineage_fp16.safetensors"),
    )
    teacher = load_teacher(settings, 518)
    assert teacher.shape == TokenShape("lineage", 37, 37, 384)
    assert teacher.weights_sha256.startswith("305991c6cb0a")
    probe = teacher.probe()
    torch.backends.mkldnn.set_flags(False)
    try:
        assert 0 < probe_difference(probe, teacher.probe()) < PROBE_TOLERANCE / 10
    finally:
        torch.backends.mkldnn.set_flags(True)


def test_a_position_embedding_resized_another_way_exceeds_the_probes_tolerance(shared: Path):
    settings = TeacherSettings(
        name="lineage",
        family="timm",
        model="vit_small_patch14_dinov2.lvd142m",
        weights=str(shared / "weights" / "dinov2_vits14_lineage_fp16.safetensors"),
    )
    trained = load_teacher(settings, 518)._module.model
    teacher = load_teacher(settings, 322)
    probe = teacher.probe()
    trained.set_input_size(img_size=(322, 322))
    teacher._module.model.pos_embed = trained.pos_embed
    assert probe_difference(probe, teacher.probe()) > 10 * PROBE_TOLERANCE


def test_real_efficientnet_weights_load_and_give_their_stride_16_map(shared: Path):
    settings = TeacherSettings(
        name="lite",
        family="timm",
        model="tf_efficientnet_lite0.in1k",
        weights=str(shared / "weights" / "tf_efficientnet_lite0_fp16.safetensors"),
        block=3,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    teacher = load_teacher(settings, 518)
    assert teacher.shape == TokenShape("lite", 33, 33, 112)
    tokens = teacher.tokens(torch.zeros(1, 3, 518, 518, dtype=torch.uint8))
    assert tokens.shape == (1, 33, 33, 112)
    assert torch.isfinite(tokens).all()
