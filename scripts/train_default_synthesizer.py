"""Train the bundled synthesizer on from one that is there, and write it, with an honest card, to where it ships.

It trains on all the training tiles for a number of epochs, or of minutes, fixed beforehand; nothing selects among its
states, and the test tiles are never read. The run can be interrupted; started again, the script goes on.

    python scripts/train_default_synthesizer.py DATA RUN
    python scripts/train_default_synthesizer.py DATA RUN --recipe compact-synthesizer --start "" --epochs 20 14 --out X
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_nucleigan import load_model
from napari_nucleigan.base.events import Event, Losses, Progress, run
from napari_nucleigan.models import DEFAULT_SYNTHESIZER, ModelCard, save_model
from napari_nucleigan.training import RunFolder, SynthesizerRecipe, read_recipe, train_synthesizer

OUT = Path(__file__).parents[1] / "src" / "napari_nucleigan" / "weights" / f"{DEFAULT_SYNTHESIZER}.safetensors"
CARD = {
    "name": DEFAULT_SYNTHESIZER,
    "training_data": "Kumar et al. 2017 (MoNuSeg 2018 training set): the 16 tiles of its training split, 1000x1000 at "
    "40x, from liver, breast, kidney and prostate; masks and tissue: random, fitted to each tile",
    "data_licence": "CC BY-NC-SA 4.0",
    "licence": "CC BY-NC-SA 4.0 (as the training data)",
    "notes": "Paints what looks like H&E, tissue included; what it paints is no patient's tissue and proves nothing "
    "about any. For research, not for diagnosis. It goes on from the one of version 0.1.0: 1 200 steps of two crops in "
    "which an encoder that has learnt from photographs judged, too, and 3 744 more that taught it the tissue.",
}


def main() -> None:
    """Train, or go on, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="the Kumar data set")
    parser.add_argument("run", type=Path, help="folder for the run")
    parser.add_argument("--recipe", default="tissue-synthesizer", help="what to train")
    parser.add_argument("--start", default=DEFAULT_SYNTHESIZER, help="model or run to begin with; empty for none")
    parser.add_argument("--epochs", nargs=2, type=int, default=(8, 5), help="at the full rate, falling")
    parser.add_argument("--minutes", type=float, default=0.0, help="longest time; 0 for no limit")
    parser.add_argument("--out", type=Path, default=OUT, help="where the model is written to")
    parser.add_argument("--bundle", action="store_true", help="only write the newest state of the run")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run)
    if not arguments.bundle:
        constant, decay = arguments.epochs
        changes = {
            "epochs_constant": constant,
            "epochs_decay": decay,
            "validation": 0.0,
            "validate_every": 1,
            "checkpoint_every": 1,
            "projected": True,
            "minutes": arguments.minutes,
        }
        if arguments.start:
            # Discriminators that know nothing yet would lead it astray.
            changes |= {"start_from": arguments.start, "head_start": 300, "lr": 2e-4}
        recipe = read_recipe(arguments.recipe, changes, SynthesizerRecipe)
        run(train_synthesizer(arguments.data, recipe, folder, resume=folder.exists, card=CARD), tell)
    model = load_model(folder.best, "synthesizer")
    card = ModelCard.model_validate({**model.card.model_dump(), **CARD})
    save_model(arguments.out, model.network.state_dict(), card, half=True)


def tell(event: Event) -> None:
    """Print what matters."""
    if isinstance(event, Progress) or (isinstance(event, Losses) and event.step % 100):
        return
    print(event, flush=True)


if __name__ == "__main__":
    main()
