"""Train the bundled default segmenter, in two runs that can both be interrupted and started again.

1. ``RUNS/segmenter-select`` trains on three quarters of the training tiles and chooses the decoding on the others, one
   tile of each organ.
2. ``RUNS/segmenter-final`` goes on from there on all the training tiles, for a number of epochs fixed beforehand.

The tiles whose split is ``test`` are read by neither.

    python scripts/train_default_segmenter.py DATA RUNS
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_nucleigan.events import Event, Losses, Progress, run
from napari_nucleigan.training import RunFolder, SegmenterRecipe, read_recipe, train_segmenter

CARD = {
    "name": "nucleigan-he",
    "training_data": "Kumar et al. 2017 (MoNuSeg 2018 training set): the 16 tiles of its training split, "
    "1000x1000 at 40x, from liver, breast, kidney and prostate",
    "data_licence": "CC BY-NC-SA 4.0",
    "licence": "CC BY-NC-SA 4.0 (as the training data)",
}


def main() -> None:
    """Run both trainings, or what is left of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="the Kumar data set")
    parser.add_argument("runs", type=Path, help="folder for the two runs")
    parser.add_argument("--select", nargs=2, type=int, default=(50, 40), help="epochs: full rate, falling")
    parser.add_argument("--final", nargs=2, type=int, default=(80, 110), help="epochs: full rate, falling")
    arguments = parser.parse_args()
    select = RunFolder(arguments.runs / "segmenter-select")
    final = RunFolder(arguments.runs / "segmenter-final")
    constant, decay = arguments.select
    _train(
        arguments.data,
        read_recipe("compact-segmenter", {"epochs_constant": constant, "epochs_decay": decay}),
        select,
    )
    constant, decay = arguments.final
    changes = {
        "epochs_constant": constant,
        "epochs_decay": decay,
        "validation": 0.0,
        "start_from": str(select.best),
        "seed": 1,
    }
    _train(arguments.data, read_recipe("compact-segmenter", changes), final)


def _train(data: Path, recipe: SegmenterRecipe, folder: RunFolder) -> None:
    run(train_segmenter(data, recipe, folder, resume=folder.exists, card=CARD), _tell)


def _tell(event: Event) -> None:
    if isinstance(event, Progress):
        return
    if isinstance(event, Losses) and event.step % 100:
        return
    print(event, flush=True)


if __name__ == "__main__":
    main()
