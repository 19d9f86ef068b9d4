from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from napari_nucleigan.base.errors import ModelError, OutputError
from napari_nucleigan.classification import Classifier, ClassifierCard, NucleusClass, load_classifier, save_classifier
from napari_nucleigan.classification.training import COLUMNS

CLASSES = (NucleusClass(name="round", color=(200, 0, 0)), NucleusClass(name="long", color=(0, 0, 200)))


def made(embedding: int = 2, **card: Any) -> Classifier:
    wide = 2 + embedding
    values: dict[str, Any] = {
        "classes": CLASSES,
        "columns": ("eccentricity", "solidity"),
        "embedding": embedding,
        "segmenter": "nucleigan-he",
        "segmenter_sha256": "abc",
        "mpp": 0.5,
        **card,
    }
    weights = np.zeros((2, wide))
    weights[1, 0] = 4.0
    return Classifier(ClassifierCard(**values), np.full(wide, 0.5), np.full(wide, 0.5), weights, np.zeros(2))


def test_it_is_one_file_that_says_all(tmp_path: Path) -> None:
    path = tmp_path / "types.safetensors"
    saved = save_classifier(path, made(counts={"round": 3, "long": 4}, scores={"weighted_f1": 0.5}))
    found = load_classifier(path)
    assert found.card == saved.card
    assert found.card.sha256
    features = {"eccentricity": np.array([0.0, 1.0, np.nan]), "solidity": np.ones(3), "label": np.arange(3)}
    columns = found.columns(features, np.zeros((3, 2), np.float16))
    assert columns["class"].tolist() == ["round", "long", "round"]
    assert columns["class"].dtype.kind == "U"
    odds = np.exp(4.0)
    assert columns["class_probability"].tolist() == pytest.approx([odds / (1 + odds), odds / (1 + odds), 0.5])
    assert found.colours == {"round": [200, 0, 0], "long": [0, 0, 200]}


def test_no_nuclei_have_no_classes() -> None:
    columns = made(0).columns({"eccentricity": np.zeros(0), "solidity": np.zeros(0)}, None)
    assert [len(values) for values in columns.values()] == [0, 0]


def test_what_it_looks_at_must_be_there() -> None:
    with pytest.raises(ModelError, match=r"'solidity'.*--measurements full"):
        made(0).columns({"eccentricity": np.zeros(1)}, None)
    features = {"eccentricity": np.zeros(1), "solidity": np.zeros(1)}
    with pytest.raises(ModelError, match="embeddings of 2 numbers, and there are none"):
        made().columns(features, None)
    with pytest.raises(ModelError, match="these have 3"):
        made().columns(features, np.zeros((1, 3)))


def test_embeddings_bind_it_to_their_segmenter() -> None:
    made().check_segmenter("nucleigan-he", "abc")
    with pytest.raises(ModelError, match=r"'nucleigan-he' \(abc\), and 'other' \(def\) is another one"):
        made().check_segmenter("other", "def")
    made(0).check_segmenter("other", "def")


def test_a_class_gets_another_name_or_is_left_out() -> None:
    third = NucleusClass(name="third", color=(0, 9, 0))
    two, wide = made(0), 2
    three = Classifier(
        two.card.model_copy(update={"classes": (*CLASSES, third), "counts": {"round": 1, "third": 2}}),
        two.mean,
        two.scale,
        np.random.default_rng(0).normal(size=(3, wide)),
        np.array([0.1, 0.2, 0.3]),
    )
    rows = np.random.default_rng(1).normal(size=(5, wide))
    left = three.changed("long", None)
    assert left is not None
    assert (left.names, left.card.counts) == (["round", "third"], {"round": 1, "third": 2})
    before = three.of_rows(rows)[:, [0, 2]]
    np.testing.assert_allclose(left.of_rows(rows), before / before.sum(axis=1, keepdims=True))
    assert left.changed("round", None) is None
    named = left.changed("third", NucleusClass(name="odd", color=(1, 1, 1)))
    assert named is not None
    assert (named.names, named.card.counts) == (["round", "odd"], {"round": 1, "odd": 2})
    assert named.changed("nobody", None) is named


def test_nothing_foreign_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "types.safetensors"
    path.write_bytes(b"my thesis")
    with pytest.raises(OutputError):
        save_classifier(path, made())
    assert path.read_bytes() == b"my thesis"


def _rewritten(path: Path, arrays: dict[str, np.ndarray] | None = None, **card: Any) -> None:
    """Change a classifier's file as somebody would who knows how its checksum is made."""
    from napari_nucleigan.models.registry import digest

    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    values = json.loads(header["__metadata__"]["nucleigan"])
    tensors = {**load_file(path), **(arrays or {})}
    save_file(tensors, path)
    values |= {"sha256": digest(path.read_bytes()), **card}
    save_file(tensors, path, metadata={"nucleigan": json.dumps(values)})


@pytest.mark.parametrize(
    ("arrays", "card", "said"),
    [
        ({"weights": np.full((2, 4), np.nan)}, {}, "no such numbers"),
        ({"scale": np.zeros(4)}, {}, "no such numbers"),
        ({"bias": np.full(2, np.inf)}, {}, "no such numbers"),
        ({"weights": np.zeros((3, 4))}, {}, "its weights are not the 2 x 4 numbers"),
        ({"mean": np.zeros(4, np.float32)}, {}, "its mean are not the 4 numbers"),
        ({}, {"sha256": "0"}, "checksum"),
        ({}, {"mpp": float("nan")}, "says NaN"),
        ({}, {"mpp": -1.0}, "mpp"),
        ({}, {"classes": [{"name": "a", "color": [1, 2, 3]}]}, "classes"),
        ({}, {"classes": [{"name": "a", "color": [1, 2, 3]}] * 2}, "same name"),
        ({}, {"classes": [{"name": "a", "color": [1, 2, 300]}, {"name": "b", "color": [1, 2, 3]}]}, "0 to 255"),
        ({}, {"classes": [{"name": "a\x1b[1m", "color": [1, 2, 3]}, {"name": "b", "color": [1, 2, 3]}]}, "shown"),
        ({}, {"embedding": 10**9}, "embedding"),
        ({}, {"format": 2}, "newer version"),
        ({}, {"kind": "segmenter"}, "no classifier"),
    ],
)
def test_a_hostile_file_gives_one_clear_error(
    tmp_path: Path, arrays: dict[str, np.ndarray], card: dict[str, Any], said: str
) -> None:
    path = tmp_path / "types.safetensors"
    save_classifier(path, made())
    _rewritten(path, arrays, **card)
    with pytest.raises(ModelError, match=said) as caught:
        load_classifier(path)
    assert str(caught.value).startswith(f"Cannot read {path}: ")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04" * 9, b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_something_else_is_no_classifier(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "types.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="Cannot read"):
        load_classifier(path)


def test_a_file_cut_short_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "types.safetensors"
    save_classifier(path, made())
    content = path.read_bytes()
    for length in (4, 50, len(content) - 8):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="Cannot read"):
            load_classifier(path)
    with pytest.raises(ModelError, match="no such file"):
        load_classifier(tmp_path / "none.safetensors")


def test_a_million_nuclei_are_classified_in_seconds() -> None:
    import time

    from napari_nucleigan.classification.classifier import FAR

    classifier = made(224, columns=COLUMNS)
    wide = len(COLUMNS) + 224
    classifier = Classifier(classifier.card, np.zeros(wide), np.ones(wide), np.ones((2, wide)), np.zeros(2))
    rows = np.full((100_000, wide), 2 * FAR, np.float32)
    begun = time.process_time()
    assert classifier.of_rows(rows).shape == (100_000, 2)
    assert time.process_time() - begun < 6
