"""Write the files of tests/compatibility/data: what version 0.1.0 leaves behind, as small as it can be.

Run it in an environment of that very version, from a folder that is not a checkout of a later one, with the folder to
write as its only argument. The files are made in ``ROOT``, whose name they write down; the tests put theirs in.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import tifffile
from skimage.io import imsave

SEGMENTER = {
    "generator": {"name": "compact-unet", "widths": (4, 4, 8)},
    "discriminator_width": 2,
    "discriminator_layers": 1,
    "pool": 2,
    "patch": 32,
    "batch": 2,
    "crops_per_epoch": 8,
    "epochs_constant": 2,
    "epochs_decay": 2,
    "warmup_steps": 2,
    "validate_every": 2,
    "checkpoint_every": 1,
    "validation": 0.3,
    "precision": "float32",
}
SYNTHESIZER = {
    "generator": {"name": "painter", "widths": (4, 4, 8), "style_size": 4},
    "segmenter": {"name": "compact-unet", "widths": (4, 4, 8)},
    **{name: value for name, value in SEGMENTER.items() if name not in ("generator", "warmup_steps")},
}
ROOT = Path("/tmp/nucleigan-0.1.0")


def picture(seed: int, side: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Draw dark discs on a pink ground."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for number, (row, column) in enumerate(np.ndindex(side // 20, side // 20), start=1):
        middle = np.array([row, column]) * 20 + 10 + random.uniform(-2, 2, 2)
        labels[np.hypot(rows - middle[0], columns - middle[1]) < random.uniform(4, 6)] = number
    image = np.where(labels[..., None] > 0, (90, 50, 130), (230, 170, 200)) + np.rint(
        random.normal(0, 6, (side, side, 1))
    )
    return image.clip(0, 255).astype(np.uint8), labels


def make_data(root: Path) -> None:
    """Write a data set of four images, one of them to test on."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    rows = ["name,organ,split"]
    for number in range(4):
        image, labels = picture(number)
        imsave(root / "images" / f"tile{number}.png", image, check_contrast=False)
        tifffile.imwrite(root / "labels" / f"tile{number}.tif", labels, compression="zlib")
        rows.append(f"tile{number},{'liver' if number % 2 else 'colon'},{'test' if number == 3 else 'train'}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")


def until(job: object, kind: type, count: int = 1) -> None:
    """Drive a job until the event of a kind has come that often, and stop it."""
    for event in job:
        count -= isinstance(event, kind)
        if not count:
            job.close()
            return


def make(root: Path) -> None:
    """Write everything."""
    os.environ["NUCLEIGAN_MODELS"] = str(root / "models")
    os.environ["NUCLEIGAN_CONFIG"] = str(root)
    from napari_nucleigan.events import Checkpoint, run
    from napari_nucleigan.masks.likes import learn, save
    from napari_nucleigan.widgets.settings import remember, remember_mpp

    from napari_nucleigan.comparison import compare
    from napari_nucleigan.segmentation import SegmentSettings, segment_files
    from napari_nucleigan.segmentation.slides import segment_slide
    from napari_nucleigan.synthesis import SetSettings, synthesize_set
    from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe
    from napari_nucleigan.training.segmenter import train_segmenter
    from napari_nucleigan.training.synthesizer import train_synthesizer

    data, runs, models = root / "tiles", root / "runs", root / "models"
    make_data(data)
    models.mkdir()
    run(train_segmenter(data, SegmenterRecipe(**SEGMENTER), runs / "segmenter", device="cpu"))
    shutil.copy(runs / "segmenter" / "best.safetensors", models / "segmenter.safetensors")
    run(train_synthesizer(data, SynthesizerRecipe(**SYNTHESIZER), runs / "synthesizer", device="cpu"))
    shutil.copy(runs / "synthesizer" / "best.safetensors", models / "synthesizer.safetensors")
    for name in ("segmenter", "synthesizer"):
        shutil.rmtree(runs / name)
    # Broken off after two epochs of four.
    until(train_segmenter(data, SegmenterRecipe(**SEGMENTER), runs / "segmenter", device="cpu"), Checkpoint, 2)
    until(train_synthesizer(data, SynthesizerRecipe(**SYNTHESIZER), runs / "synthesizer", device="cpu"), Checkpoint, 2)

    settings = SegmentSettings(model="segmenter", device="cpu", mpp=0.25)
    run(segment_files([data / "images" / f"tile{n}.png" for n in (0, 1)], root / "results", settings, [".tif", ".csv"]))
    pairs = SetSettings(model="synthesizer", device="cpu", count=3, size=64, seed=3, like="liver")
    run(synthesize_set(root / "pairs", pairs))
    save(learn(data), root / "statistics.json")
    slide = root / "slide.tif"
    image = np.tile(picture(9, 160)[0], (2, 2, 1))
    with tifffile.TiffWriter(slide) as tif:
        for level in range(2):
            tif.write(
                image[:: 2**level, :: 2**level],
                photometric="rgb",
                tile=(64, 64),
                compression="zlib",
                subifds=1 - level,
                subfiletype=level,
                resolution=(40000 / 2**level,) * 2,
                resolutionunit="CENTIMETER",
            )
    run(segment_slide(slide, root / "slides", settings, ("ome.zarr", "density.tif")))
    changes = {name: value for name, value in SEGMENTER.items() if not name.startswith("epochs") and name != "pool"}
    run(compare(data, root / "comparison", ("cgan",), epochs=(1, 1), changes=changes, device="cpu"))
    slide.unlink()  # its results are what counts
    for run_folder in (*runs.iterdir(), root / "comparison" / "runs" / "cgan"):
        shutil.rmtree(run_folder / "previews")
        for path in sorted((run_folder / "checkpoints").iterdir())[:2]:
            path.unlink()
    remember("folder", str(data / "images"))
    remember("batch_images", [str(data / "images")])
    remember("batch_results", str(root / "results"))
    remember("batch_formats", [".tif", ".csv"])
    remember("evaluated_predictions", str(root / "results"))
    remember("evaluated_truth", str(data))
    remember("pairs", str(root / "pairs"))
    remember("slide_results", str(root / "slides"))
    remember_mpp(str(data / "images"), 0.25)


def main() -> None:
    target = Path(sys.argv[1])
    ROOT.mkdir()
    try:
        make(ROOT)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(ROOT, target)
    finally:
        shutil.rmtree(ROOT)


if __name__ == "__main__":
    main()
