"""Stages divide an encoder's parameters; frozen ones change neither by gradients nor by batches."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.student.encoder import Encoder
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.student.stages import stages
from rsmtdf_core.training.ema import ema_copy, update_ema

# By encoder, the number of stages after the stem.
ENCODERS = {
    "test_vit": 6,
    "test_vit2": 8,
    "resnet18": 4,
    "test_efficientnet": 5,
    "test_convnext": 4,
}


def make(encoder, **settings) -> Encoder:
    return Encoder(StudentSettings(encoder=encoder, weights="random", **settings)).train()


def trained(encoder) -> Encoder:
    """The encoder after a step in which every parameter that trains moves, and every batch norm sees a batch."""
    maps = encoder(torch.randn(2, 3, 64, 64))
    if any(parameter.requires_grad for parameter in encoder.parameters()):
        sum(map_BCHW.square().mean() for map_BCHW in maps).backward()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-0.1)
    return encoder


@pytest.mark.parametrize(("encoder", "number"), ENCODERS.items())
def test_every_parameter_belongs_to_one_stage_and_stages_follow_the_network(encoder, number):
    net = make(encoder).net
    by_stage = stages(net)
    assert len(by_stage) == number + 1
    names = [name for stage in by_stage for name in stage]
    assert sorted(names) == sorted(name for name, _ in net.named_parameters())
    assert all(
        net.get_parameter(name) is value for stage in by_stage for name, value in stage.items()
    )
    first = net.pretrained_cfg["first_conv"]
    assert f"{first}.weight" in by_stage[0]
    if hasattr(net, "cls_token"):
        embedding = {"pos_embed", "cls_token", "reg_token"} & {*names}
        assert embedding < by_stage[0].keys()
        assert "norm.weight" in by_stage[-1] or "norm.weight" not in names
        for block in range(number):
            assert f"blocks.{block}.attn.qkv.weight" in by_stage[block + 1]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("frozen", [0, 2, "all"])
def test_frozen_stages_do_not_change_and_all_others_do(encoder, frozen):
    built = make(encoder, frozen_stages=frozen)
    by_stage = stages(built.net)
    first = len(by_stage) if frozen == "all" else frozen + 1
    expected = {name for stage in by_stage[:first] for name in stage}
    assert {n for n, p in built.net.named_parameters() if not p.requires_grad} == expected
    layers = {name.rpartition(".")[0] for name in expected}
    before = copy.deepcopy(built.net.state_dict())
    after = trained(built).net.state_dict()
    for name, tensor in after.items():
        layer = name.rpartition(".")[0]
        same = torch.equal(tensor, before[name])
        if name in expected or layer in layers:
            assert same, name
        elif name in dict(built.net.named_parameters()):
            assert built.net.get_parameter(name).grad is not None, name
        elif layer:
            assert not same, f"{name} of a stage that trains counts no batch"


@pytest.mark.parametrize("encoder", ["resnet18", "test_efficientnet"])
def test_frozen_batch_norms_keep_their_statistics_and_train_their_scale(encoder):
    built = make(encoder, frozen_batch_norm=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        in_training = built(images)
        for ours, expected in zip(in_training, copy.deepcopy(built).eval()(images), strict=True):
            assert torch.equal(ours, expected)
    before = {name: buffer.clone() for name, buffer in built.named_buffers()}
    trained(built)
    assert all(torch.equal(buffer, before[name]) for name, buffer in built.named_buffers())
    norms = [module for module in built.modules() if isinstance(module, _BatchNorm)]
    assert norms
    assert all(norm.weight.grad is not None and norm.bias.grad is not None for norm in norms)
    # The other layers are in training mode, and stay so after a validation.
    built.eval()
    built.train()
    assert built.training
    assert not any(norm.training for norm in norms)
    kinds = {module.training for module in built.modules() if not isinstance(module, _BatchNorm)}
    assert True in kinds


@pytest.mark.parametrize("encoder", ["test_vit", "resnet18"])
def test_activations_computed_again_give_the_gradients_of_a_partly_frozen_encoder(encoder):
    built = make(encoder, frozen_stages=1, frozen_batch_norm=True)
    again = copy.deepcopy(built)
    again.checkpoint_activations(enabled=True)
    results = []
    for each in (built, again):
        torch.manual_seed(0)
        sum(map_BCHW.square().mean() for map_BCHW in each(torch.randn(2, 3, 64, 64))).backward()
        results.append([parameter.grad for parameter in each.parameters()])
    for plain, recomputed in zip(*results, strict=True):
        assert (plain is None) == (recomputed is None)
        if plain is not None:
            torch.testing.assert_close(recomputed, plain)


def test_the_average_of_a_frozen_stage_is_that_stage():
    built = make("resnet18", frozen_stages="all")
    ema = ema_copy(built)
    update_ema(ema, trained(built), 0.3)
    assert all(map(torch.equal, ema.state_dict().values(), built.state_dict().values()))


def test_a_copy_holds_its_own_layers():
    built = make("resnet18", frozen_batch_norm=True)
    other = copy.deepcopy(built)
    built.net.bn1.train()
    other.train()
    assert built.net.bn1.training
    assert not other.net.bn1.training


def test_more_stages_than_there_are_are_refused():
    with pytest.raises(ConfigError, match="expected at most 4, found 5") as caught:
        make("resnet18", frozen_stages=5)
    assert "student.frozen_stages=4" in caught.value.remedy
    make("resnet18", frozen_stages=4)


def test_a_model_without_declared_stages_is_refused():
    with pytest.raises(ConfigError, match="does not declare the stages of a SimpleNamespace"):
        stages(SimpleNamespace())
