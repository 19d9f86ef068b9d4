from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_nucleigan.base.errors import DatasetError, DeviceError, ModelError, RunError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.training.estimate import Estimate, estimate, estimate_apart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_estimate_counts_what_the_training_will_do(
    dataset: Path, tiny_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    recipe = tiny_recipe(crops_per_epoch=None, synthetic_share=0.5)
    found = run(estimate(dataset, recipe, device="cpu", synthetic=dataset))
    # Two organs of two images, one each held out; 3 x 3 crops of 32 in 96 x 96; 9 steps of 2 crops in 5 epochs.
    assert (found.images, found.validation, found.synthetic) == (2, 2, 4)
    assert (found.steps, found.patches) == (45, 90)
    assert found.seconds > 45 * found.seconds_per_step > 0
    assert found.memory > 1e8
    assert (found.device, found.device_memory) == ("cpu", 0)
    assert run(estimate(dataset, tiny_recipe(), device="cpu")).steps == 20
    # A limit of time leaves as many steps as it takes.
    hour = run(estimate(dataset, tiny_recipe(epochs_constant=10**9, minutes=60), device="cpu"))
    assert 1 < hour.steps * hour.seconds_per_step <= 3601
    assert hour.seconds < 2 * 3600


def test_a_synthesizer_is_estimated_too(dataset: Path, tiny_synthesizer: Callable[..., Any]) -> None:
    found = run(estimate(dataset, tiny_synthesizer(), device="cpu"))
    assert (found.steps, found.patches) == (20, 40)


def test_a_process_of_its_own_estimates(dataset: Path, tiny_recipe: Callable[..., Any]) -> None:
    events: list[object] = []
    found = run(estimate_apart(dataset, tiny_recipe(), device="cpu"), events.append)
    assert found.steps == 20
    assert all(isinstance(event, Progress) for event in events)
    job = estimate_apart(dataset, tiny_recipe(), device="cpu")
    next(job)
    job.close()


def test_what_hinders_the_training_hinders_its_estimate(
    dataset: Path, tiny_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no folder 'images'"):
        run(estimate(tmp_path, tiny_recipe()))
    with pytest.raises(DeviceError, match="quantum"):
        run(estimate(dataset, tiny_recipe(), device="quantum"))
    with pytest.raises(ModelError, match="no model named 'nothing'"):
        run(estimate(dataset, tiny_recipe(start_from="nothing")))
    with pytest.raises(RunError, match="no folder 'images'"):
        run(estimate_apart(tmp_path, tiny_recipe()))


def test_an_estimate_is_written_for_people() -> None:
    found = Estimate(12, 4, 0, 8000, 1000, 600.0, 1_500_000_000, 0, "cpu", 0.5)
    assert str(found) == (
        "12 images to train, 4 to validate: 8000 crops in 1000 steps, about 10 minutes on cpu (0.5 s a step), "
        "1.5 GB of memory."
    )
    gpu = Estimate(12, 4, 50, 8000, 1000, 86_400.0, 1_500_000_000, 2_000_000_000, "cuda:0", 0.5)
    for part in ("and 50 synthetic to train", "24.0 hours", "2.0 GB of the GPU's"):
        assert part in str(gpu)
    assert "45 seconds" in str(Estimate(1, 0, 0, 1, 1, 45.0, 1, 0, "cpu", 0.5))
