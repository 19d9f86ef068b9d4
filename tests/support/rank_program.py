"""A few updates on batches that come out of a seed: what one process makes alone, and several together.

As a program it is one of several: ``rank_program.py CASES.json FOLDER`` writes what came out to FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from napari_nucleigan.training.cgan import ConditionalGAN
from napari_nucleigan.training.cyclegan import CycleBatch, CycleGAN
from napari_nucleigan.training.frame import joined
from napari_nucleigan.training.ranks import Dismissed, Ranks
from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 3

Curve = list[dict[str, float]]


def environment(number: int, size: int, port: int) -> dict[str, str]:
    """Return what torchrun tells its processes, without the weight of torchrun."""
    given = {
        "RANK": number,
        "LOCAL_RANK": number,
        "GROUP_RANK": 0,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "test",
    }
    return {**os.environ, **{name: str(value) for name, value in given.items()}}


def updates(case: dict[str, Any], ranks: Ranks) -> tuple[Curve, dict[str, torch.Tensor]]:
    """Return the losses of each step, and all that a checkpoint would hold."""
    with nullcontext() if case["bfloat16"] else _in_double_precision():
        return _updates(case, ranks)


def _updates(case: dict[str, Any], ranks: Ranks) -> tuple[Curve, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    gan: ConditionalGAN | CycleGAN
    if case["kind"] == "segmenter":
        gan = ConditionalGAN(SegmenterRecipe(**case["recipe"]), bfloat16=case["bfloat16"])
    else:
        gan = CycleGAN(SynthesizerRecipe(**case["recipe"]))
    gan.generator_optimizer = _plain(gan.generator_optimizer)
    if gan.discriminator_optimizer is not None:
        gan.discriminator_optimizer = _plain(gan.discriminator_optimizer)
    gan.join(ranks)
    return [
        ranks.all_reduce_mean(gan.step(_batch(case, step, ranks), step, 1.0)) for step in range(STEPS)
    ], gan.state()[0]


@contextmanager
def _in_double_precision() -> Iterator[None]:
    # Where rounding is no excuse: in single precision a gradient that jumps where a rectified unit is all but 0 parts
    # trainings as tiny as these within three steps, on some processors. The trainings themselves leave bfloat16 by
    # `float`, which would bring them back to single precision here.
    single = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.Tensor.float = single  # type: ignore[method-assign]


def _plain(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    # Adam makes a full step out of the rounding error of a gradient that is 0, as that of a bias which is normalised;
    # with steps in proportion to the gradients, the same gradients give the same weights.
    return torch.optim.SGD([weight for group in optimizer.param_groups for weight in group["params"]], momentum=0.5)


def _batch(case: dict[str, Any], step: int, ranks: Ranks) -> Any:
    count, side = case["recipe"]["batch"], case["recipe"]["patch"]
    random = torch.Generator().manual_seed(step)
    images, fields, others, masks = torch.tanh(torch.randn(4, count, 3, side, side, generator=random))
    # The shares are unlike, so that a mean over one of them is no mean over all.
    images[: count // 2] *= 0.3
    fields[: count // 2] -= 0.5 * (1 + fields[: count // 2])
    if case["kind"] == "segmenter":
        fields[:1, :, :8] = torch.nan
        return ranks.local_shard(images), ranks.local_shard(fields)
    return CycleBatch(*map(ranks.local_shard, (images, fields, others, masks)))


def main(cases: Path, folder: Path) -> None:
    with joined("cpu") as ranks:
        ranks.take_cores()
        curves = {}
        for name, case in json.loads(cases.read_text()).items():
            curves[name], state = updates(case, ranks)
            tensors = {key: value.contiguous() for key, value in state.items() if key != "random"}
            save_file(tensors, folder / f"{name}-{ranks.rank}.safetensors")
        (folder / f"curves-{ranks.rank}.json").write_text(json.dumps(curves))
        # What passes from the leader to the others.
        if ranks.leads:
            ranks.broadcast({"a": torch.arange(3)})
        else:
            assert ranks.receive()["a"].tolist() == [0, 1, 2]
        whole = torch.arange(8).view(8, 1)
        for parts in (1, 2, 4):
            assert torch.equal(ranks.all_gather(ranks.local_shard(whole, parts), parts), whole)
        assert ranks.local_shard(whole, 2).flatten().tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]][ranks.rank]
        if not ranks.leads:
            try:
                ranks.go()
            except Dismissed:
                (folder / "dismissed").touch()
                raise
            raise AssertionError("The leader has ended, and nobody heard of it.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
