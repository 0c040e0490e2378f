import torch
from torch import nn

from rsmtdf_core.training.ema import ema_copy, ema_ratio, update_ema


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_the_ratio_warms_up_to_its_limit():
    assert [ema_ratio(step, 0.996) for step in (0, 1, 3)] == [0.0, 0.5, 0.75]
    assert ema_ratio(10_000, 0.996) == 0.996


def test_the_copy_is_frozen_and_apart_from_the_student():
    student = _model()
    ema = ema_copy(student)
    assert not ema.training
    assert not any(parameter.requires_grad for parameter in ema.parameters())
    with torch.no_grad():
        student[0].weight.add_(1)
    assert not torch.equal(ema[0].weight, student[0].weight)


def test_an_update_averages_parameters_and_buffers_and_copies_counters():
    student = _model()
    ema = ema_copy(student)
    before = {name: value.clone() for name, value in ema.state_dict().items()}
    student(torch.randn(8, 3))
    with torch.no_grad():
        student[0].weight.add_(1)
    update_ema(ema, student, 0.75)
    for name, value in student.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert ema.state_dict()[name] == value == 1
        else:
            expected = 0.75 * before[name] + 0.25 * value
            torch.testing.assert_close(ema.state_dict()[name], expected)
