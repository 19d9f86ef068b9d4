from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import DatasetError, DeviceError, ExtraError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.training.frame import joined, the_same
from napari_nucleigan.training.ranks import Ranks, started
from rank_program import environment

if TYPE_CHECKING:
    from pathlib import Path


def test_only_torchrun_starts_several() -> None:
    assert started({}) == (0, 1)
    assert started({"RANK": "1", "WORLD_SIZE": "4", "SLURM_NTASKS": "4"}) == (0, 1)
    assert started({"RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}) == (1, 4)


def test_a_single_process_of_torchrun_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(0, 1, 1).items():
        monkeypatch.setenv(name, value)
    with joined("cpu") as ranks:
        assert type(ranks) is Ranks
        assert str(ranks) == "cpu"
    with pytest.raises(DeviceError, match="quantum"), joined("quantum"):
        pass


def test_all_processes_need_the_same_images(dataset: Path) -> None:
    found = Dataset.open(dataset)
    assert the_same(found, found.names) is found
    with pytest.raises(DatasetError, match="no image 'tile9'"):
        the_same(found, ["tile0", "tile9"])


def test_several_processes_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(0, 2, 1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    monkeypatch.delitem(sys.modules, "napari_nucleigan.training.fabric", raising=False)
    with pytest.raises(ExtraError, match=r"pip install napari-nucleigan\[distributed\]"), joined("cpu"):
        pass
