import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from rsmtdf_core.errors import RunError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.runs.checkpoint import (
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from rsmtdf_core.runs.checkpoint_state import read_state
from rsmtdf_core.runs.seals import write_sealed_json


def _parts():
    torch.manual_seed(0)
    student, ema = nn.Linear(3, 2), nn.Linear(3, 2)
    return student, ema, torch.optim.AdamW(student.parameters(), lr=0.1)


def _train(student, optimiser, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        student(torch.randn(4, 3)).square().sum().backward()
        optimiser.step()


def test_a_restored_training_goes_on_as_if_never_stopped(tmp_path):
    student, ema, optimiser = _parts()
    _train(student, optimiser, 3)
    save_checkpoint(tmp_path, student, ema, optimiser, {"step": 3})
    _train(student, optimiser, 2)

    other, other_ema, other_optimiser = _parts()
    load_checkpoint(tmp_path / "step-00000003").restore(other, other_ema, other_optimiser)
    _train(other, other_optimiser, 2)
    assert torch.equal(student.weight, other.weight)
    assert torch.equal(ema.weight, other_ema.weight)


def test_the_methods_tensors_are_restored_in_place_and_only_those_of_the_same_method(tmp_path):
    parts = _parts()
    saved = {"rate": torch.tensor(0.25), "by class": torch.rand(3)}
    path = save_checkpoint(tmp_path, *parts, {"step": 1}, saved)
    restored = {"rate": torch.zeros(()), "by class": torch.zeros(3)}
    kept = restored["by class"]
    load_checkpoint(path).restore(*parts, restored)
    assert restored["rate"] == 0.25
    assert torch.equal(kept, saved["by class"])
    for others in ({}, {"rate": torch.zeros(())}, restored | {"by class": torch.zeros(4)}):
        with pytest.raises(RunError, match="the tensors belong to another method: by class"):
            load_checkpoint(path).restore(*parts, others)


def test_a_damaged_checkpoint_is_passed_over_with_its_name(tmp_path):
    parts = _parts()
    for step in (1, 2):
        save_checkpoint(tmp_path, *parts, {"step": step})
    damaged = tmp_path / "step-00000002" / "ema.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    checkpoint, warnings = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state["step"] == 1
    assert "step-00000002" in warnings[0]


def test_a_half_written_checkpoint_does_not_count(tmp_path):
    (tmp_path / "step-00000009.tmp").mkdir()
    (tmp_path / "step-00000007").mkdir()
    assert newest_checkpoint(tmp_path)[0] is None


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    student, ema, optimiser = _parts()
    save_checkpoint(tmp_path, student, ema, optimiser, {"step": 1})
    with pytest.raises(RunError, match="weight: expected"):
        load_checkpoint(tmp_path / "step-00000001").restore(nn.Linear(4, 2), ema, optimiser)


def test_another_format_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, *_parts(), {"step": 1})
    state, digests = read_state(path)
    write_sealed_json(path / "state.json", state | {"format": 99, "digests": digests})
    with pytest.raises(RunError, match="format 1 of the checkpoint, found 99"):
        load_checkpoint(path)


def test_the_fingerprint_covers_the_weights_and_their_training_data(tmp_path):
    student, ema, optimiser = _parts()
    paths = []
    for number, views in enumerate(("one", "two")):
        state = {"step": 1, "parent": {"views": views}}
        paths.append(save_checkpoint(tmp_path / str(number), student, ema, optimiser, state))
    torch.nn.init.zeros_(ema.weight)
    paths.append(save_checkpoint(tmp_path / "2", student, ema, optimiser, state))
    assert len({load_checkpoint(path).fingerprint for path in paths}) == 3


def test_a_checkpoint_of_a_gpu_is_restored_without_one(tmp_path):
    parts = _parts()
    path = save_checkpoint(tmp_path, *parts, {"step": 1})
    file = path / "optimiser.safetensors"
    assert "rng.cuda" not in load_file(file)
    save_file(load_file(file) | {"rng.cuda": torch.zeros(16, dtype=torch.uint8)}, file)
    state, digests = read_state(path)
    digests[file.name] = file_sha256(file)
    write_sealed_json(path / "state.json", state | {"digests": digests})
    load_checkpoint(path).restore(*parts)
