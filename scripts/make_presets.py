"""Make the mask presets from the training tiles of the Kumar data set: ``python scripts/make_presets.py DATASET``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks import polygons

TARGET = Path(polygons.__file__).parent / "sampler" / "organs"


def main() -> None:
    """Fit the labels of each organ, and of all; only statistics are kept."""
    data = Dataset.open(sys.argv[1])
    train = [name for name in data.names if data.splits[name] == "train"]
    for organ in polygons.PRESETS:
        labels = [data.labels(name) for name in train if organ in ("all", data.organs[name])]
        record = polygons.fit(labels).model_dump(mode="json")
        (TARGET / f"{organ}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"{organ}: {len(labels)} tiles")


if __name__ == "__main__":
    main()
