"""The mask domain and the networks: time to encode and decode, round trip, time of one pass."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.spatial import cKDTree

from _table import Row, Skip, shared, timed
from napari_nucleigan.base.devices import computes_bfloat16, usable_cores
from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.networks import build

NETWORKS = {
    "compact-unet": ({"name": "compact-unet"}, 5),
    "unet-256": ({"name": "unet-256"}, 2),
    "resnet, 6 blocks": ({"name": "resnet", "blocks": 6}, 1),
    "resnet, 9 blocks": ({"name": "resnet", "blocks": 9}, 1),
}
TILE = "TCGA-HE-7128-01Z-00-DX1"  # of the training split


def nuclei(side: int, count: int) -> np.ndarray:
    """Draw round nuclei 18 pixels wide; where they overlap, each pixel goes to the nearer centre."""
    centres = np.random.default_rng(0).uniform(0, side, (count, 2))
    places = np.stack(np.mgrid[:side, :side], axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(centres).query(places, distance_upper_bound=9)
    return np.where(np.isfinite(distance), nearest + 1, 0).reshape(side, side).astype(np.int32)


def measure() -> list[Row]:
    torch.set_num_threads(usable_cores())
    rows = _times()
    for part in (_predicted, _round_trip):
        try:
            rows += part()
        except (Skip, ModelError) as reason:
            rows.append(Row(part.__name__.strip("_").replace("_", " "), None, note=f"skipped: {reason}"))
    return rows + _networks()


def _times() -> list[Row]:
    small, large = nuclei(1000, 800), nuclei(2000, 3200)
    fields = encode(small), encode(large)
    encoding = timed(lambda: encode(small))
    quick, slow = (timed(lambda field=field: decode(field)) for field in fields)
    note = f"1000x1000, {np.unique(small).size - 1} nuclei"
    return [
        encoding.row("encode", note=note),
        quick.row("decode", "<= 0.15", note),
        Row("decode 2000x2000 over 1000x1000", slow.cpu / quick.cpu, "", "<= 4.5", "processor time; 4 is linear"),
    ]


def _predicted() -> list[Row]:
    model = load_model(DEFAULT_SEGMENTER, "segmenter")
    image = Dataset.open(shared("data/kumar")).image(TILE).pixels
    pixels = np.pad(image, ((0, 24), (0, 24), (0, 0)), mode="reflect")
    with torch.inference_mode():
        tensor = torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())[None].float() / 127.5 - 1
        field = model.network(tensor)[0, :, :1000, :1000].numpy()
    known = {name: model.card.decode[name] for name in ("threshold", "prominence", "smoothing")}
    found = decode(field, **known)
    time = timed(lambda: decode(field, **known))
    return [time.row("decode what the default model predicts", "<= 0.15", f"1000x1000, {found.max()} nuclei")]


def _round_trip() -> list[Row]:
    dataset = Dataset.open(shared("data/kumar"))
    rows = []
    for encoding, bars in (("distance", (">= 0.98", ">= 0.95")), ("contour", ("", "")), ("binary", ("", ""))):
        scores = []
        for name in dataset.names:
            labels = dataset.labels(name)
            scores.append(aji(overlaps(labels, decode(encode(labels, encoding), encoding))))
        note = f"{len(scores)} label images of Kumar"
        rows.append(Row(f"{encoding}: AJI of the round trip, mean", float(np.mean(scores)), "", bars[0], note))
        rows.append(Row(f"{encoding}: AJI of the round trip, worst", min(scores), "", bars[1], note))
    return rows


def _networks() -> list[Row]:
    image = torch.rand(1, 3, 1024, 1024).mul_(2).sub_(1).contiguous(memory_format=torch.channels_last)
    precisions = [torch.float32, *([torch.bfloat16] if computes_bfloat16("cpu") else [])]
    rows = []
    for (name, (architecture, repeats)), precision in itertools.product(NETWORKS.items(), precisions):
        network = build(architecture).eval().to(memory_format=torch.channels_last)

        def once(network: torch.nn.Module = network, precision: torch.dtype = precision) -> None:
            with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
                network(image)

        label = str(precision).removeprefix("torch.")
        note = f"1024x1024, {torch.get_num_threads()} threads"
        rows.append(timed(once, repeats).row(f"{name}, {label}", note=note))
    return rows
