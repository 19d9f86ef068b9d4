from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from napari_nucleigan.training import checkpoints
from napari_nucleigan.training.optimizers import Adam, AdamW

if TYPE_CHECKING:
    from pathlib import Path


def _tensors(seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {"a/weight": torch.randn(3, 4, generator=random), "count": torch.tensor(seed)}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    checkpoints.save_checkpoint(tmp_path, 7, _tensors(7), {"best": 0.1 + 0.2, "list": [1, None]})
    found = checkpoints.load_checkpoint(tmp_path)
    assert found is not None
    step, tensors, state = found
    assert step == 7
    assert _same(tensors, _tensors(7))
    assert state == {"best": 0.1 + 0.2, "list": [1, None]}


def test_the_newest_are_kept_and_nothing_else(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        checkpoints.save_checkpoint(tmp_path, step, _tensors(step), {})
    names = sorted(path.name for path in tmp_path.iterdir())
    stems = ["00000002", "00000010"]
    assert names == sorted(f"{stem}.{end}" for stem in stems for end in ("json", "safetensors"))


@pytest.mark.parametrize("harm", ["truncate", "zeros", "missing", "no json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(harm: str, tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoints.save_checkpoint(tmp_path, step, _tensors(step), {"step": step})
    newest = tmp_path / "00000002.safetensors"
    content = newest.read_bytes()
    if harm == "truncate":
        newest.write_bytes(content[:-4])
    elif harm == "zeros":
        newest.write_bytes(content[:-8] + bytes(8))
    elif harm == "missing":
        newest.unlink()
    else:
        (tmp_path / "00000002.json").write_text('{"step": 2')
    found = checkpoints.load_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 1
    assert _same(found[1], _tensors(1))


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert checkpoints.load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_an_optimizer_goes_on_as_if_never_stopped(kind: type[torch.optim.Adam]) -> None:
    def fresh() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 2)
        return layer, kind(layer.parameters(), lr=0.1, betas=(0.5, 0.999))

    def step(layer: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        layer(torch.arange(4.0)).square().sum().backward()
        optimizer.step()

    first, first_optimizer = fresh()
    for _ in range(3):
        step(first, first_optimizer)
    tensors, state = checkpoints.flatten_optimizer("adam", first_optimizer)
    weights = {key: value.clone() for key, value in first.state_dict().items()}
    tensors = {key: value.clone() for key, value in tensors.items()}
    step(first, first_optimizer)

    second, second_optimizer = fresh()
    second.load_state_dict(weights)
    checkpoints.restore_optimizer("adam", second_optimizer, tensors, state)
    step(second, second_optimizer)
    assert _same(dict(first.state_dict()), dict(second.state_dict()))


def test_tensors_of_every_kind_come_back_by_anyone_who_reads_safetensors(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    tensors = {
        "scalar": torch.tensor(3.5),
        "step": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "layers/0": torch.randn(2, 3, 4, 5, generator=random).to(memory_format=torch.channels_last),
        "turned": torch.randn(4, 6, generator=random).T,
        "part": torch.arange(10, dtype=torch.int32)[::3],
        "half": torch.randn(3, generator=random).half(),
        "bfloat": torch.randn(5, generator=random).bfloat16(),
        "random": torch.get_rng_state(),
        "flags": torch.tensor([True, False, True]),
        "double, “ä”": torch.randn(2, generator=random).double(),
        "learnt": torch.nn.Parameter(torch.randn(3, generator=random)),
    }
    path = checkpoints.save_checkpoint(tmp_path, 1, tensors, {})
    found = checkpoints.load_checkpoint(tmp_path)
    assert found is not None
    for read in (found[1], load_file(path.with_suffix(".safetensors"))):
        assert read.keys() == tensors.keys()
        for name, value in tensors.items():
            assert read[name].dtype == value.dtype
            assert torch.equal(read[name], value), name


def test_a_checkpoint_without_tensors_is_one_too(tmp_path: Path) -> None:
    checkpoints.save_checkpoint(tmp_path, 1, {}, {"a": 1})
    assert checkpoints.load_checkpoint(tmp_path) == (1, {}, {"a": 1})


def test_what_is_not_flushed_takes_no_place_of_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr("os.fsync", flushed.append)
    for step in (1, 2, 3):
        checkpoints.save_checkpoint(tmp_path, step, _tensors(step), {}, flush=False)
    assert not flushed
    found = checkpoints.load_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 3
    assert len(list(tmp_path.glob("*.json"))) == 3
    checkpoints.save_checkpoint(tmp_path, 4, _tensors(4), {})
    assert len(flushed) >= 2
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["00000003", "00000004"]
