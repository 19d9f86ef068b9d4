from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError, ModelError, RecipeError
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.models import load_model
from napari_nucleigan.synthesis.styles import Styles, encode_style

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nucleigan.models import Model


def _length(code: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(code))))


def test_random_draws_every_name_and_mixes_within_it(model: Model) -> None:
    styles = Styles.of("random", model)
    drawn = [styles.draw(seed) for seed in range(60)]
    assert {name for name, _ in drawn} == {"liver", "breast"}
    codes = np.array([code for name, code in drawn if name == "liver"])
    assert len(np.unique(codes.round(3), axis=0)) > 5
    np.testing.assert_allclose(codes[:, 1] + codes[:, 2], 0, atol=1e-5)  # so are both of its codes
    np.testing.assert_allclose([_length(code) for _, code in drawn], 1, atol=1e-5)


def test_the_same_seed_draws_the_same(model: Model) -> None:
    styles = Styles.of("random", model)
    for seed in (0, [0, 5]):
        (name, code), (again, other) = styles.draw(seed), styles.draw(seed)
        assert name == again
        np.testing.assert_array_equal(code, other)


def test_by_name(model: Model) -> None:
    name, code = Styles.of("breast", model).draw(3)
    assert name == "breast"
    np.testing.assert_allclose(code, [1, -1, 1, -1])


def test_a_mask_of_an_organ_is_painted_as_it_where_that_is_left_open(model: Model) -> None:
    assert {Styles.of("random", model).draw(seed, "liver")[0] for seed in range(20)} == {"liver"}
    assert {Styles.of("random", model).draw(seed, "spleen")[0] for seed in range(20)} == {"liver", "breast"}
    assert Styles.of("breast", model).draw(0, "liver")[0] == "breast"


def test_an_unknown_style_names_those_that_there_are(model: Model) -> None:
    with pytest.raises(RecipeError, match=r"no style .spleen.*random, breast, liver"):
        Styles.of("spleen", model)


def test_of_an_image_or_a_folder_of_them(
    tmp_path: Path, model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    for index in range(2):
        write_image(tmp_path / "refs" / f"{index}.png", tiny_he(300, 280, 30, index)[0], 0.25)
    one = Styles.of(str(tmp_path / "refs" / "0.png"), model)
    assert one.codes["0"].shape == (1, 4)
    assert one.notes == ()
    image = read_image(tmp_path / "refs" / "0.png")
    np.testing.assert_array_equal(Styles.of("random", model, image).codes[image.name], one.codes["0"])
    both = Styles.of(str(tmp_path / "refs"), model)
    assert both.codes["refs"].shape == (2, 4)
    np.testing.assert_allclose(both.codes["refs"][0], one.codes["0"][0])
    np.testing.assert_allclose(_length(one.draw(0)[1]), 1, atol=1e-3)


def test_of_a_data_set_by_its_organs(
    tmp_path: Path, model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    for index, name in enumerate("abc"):
        write_image(tmp_path / "mine" / "images" / f"{name}.png", tiny_he(80, 80, 8, index)[0], 0.25)
    (tmp_path / "mine" / "split.csv").write_text("name,organ,split\na,liver,train\nb,skin,train\n")
    for path in (tmp_path / "mine", tmp_path / "mine" / "images"):
        assert set(Styles.of(str(path), model).codes) == {"liver", "skin", path.name}


def test_an_image_of_unknown_scale_is_said(
    tmp_path: Path, model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    write_image(tmp_path / "a.png", tiny_he(30, 20, 2)[0])
    (note,) = Styles.of(str(tmp_path / "a.png"), model).notes
    assert "does not say its microns per pixel" in note.text


def test_no_style_is_read_off_test_images(
    tmp_path: Path, model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    for index, name in enumerate("abc"):
        write_image(tmp_path / "images" / f"{name}.png", tiny_he(80, 80, 8, index)[0])
    (tmp_path / "split.csv").write_text("name,organ,split\na,liver,train\nb,skin,test\nc,liver,val\n")
    styles = Styles.of(str(tmp_path), model)
    assert {name: len(codes) for name, codes in styles.codes.items()} == {"liver": 2}
    (note,) = styles.notes
    assert note.text.startswith("2 images, a.png first, do not say their microns per pixel")


def test_what_is_no_image_is_refused(tmp_path: Path, model: Model) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.png"):
        Styles.of(str(tmp_path / "a.png"), model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="no images"):
        Styles.of(str(tmp_path / "empty"), model)


def test_glass_is_left_out_of_a_reference(model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    tissue = tiny_he(256, 256, 40)[0]
    with_glass = np.full((256, 1024, 3), 250, np.uint8)
    with_glass[:, :256] = tissue
    lone = encode_style(tissue, 0.25, model.network, 0.25)
    np.testing.assert_allclose(encode_style(with_glass, 0.25, model.network, 0.25), lone, atol=1e-5)
    assert np.isfinite(encode_style(np.full((9, 9, 3), 255, np.uint8), 0.25, model.network, 0.25)).all()


def test_the_scale_of_a_reference_counts(model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    tissue = tiny_he(256, 256, 40)[0]
    coarse = np.ascontiguousarray(tissue.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)).astype(np.uint8))
    own = encode_style(tissue, 0.25, model.network, 0.25)
    scaled = encode_style(coarse, 0.5, model.network, 0.25)
    mistaken = encode_style(coarse, 0.25, model.network, 0.25)
    assert np.abs(scaled - own).max() < np.abs(mistaken - own).max()


def test_a_model_without_styles(save_synthesizer: Callable[..., Path], mixing_model: Model) -> None:
    assert Styles.of("random", mixing_model).draw(0)[1].shape == (0,)
    (note,) = Styles.of("liver", mixing_model).notes
    assert "knows no styles" in note.text
    untrained = load_model(save_synthesizer(styles=False))
    name, code = Styles.of("random", untrained).draw(0)
    assert name == ""
    np.testing.assert_allclose(_length(code), 1, atol=1e-5)


@pytest.mark.parametrize("codes", [[], [[1, 2]], [[1, 2, 3, float("nan")]], [1, 2, 3, 4]])
def test_a_card_with_codes_that_do_not_fit(model: Model, codes: list[object]) -> None:
    from dataclasses import replace

    card = model.card.model_copy(update={"styles": {"liver": codes}})
    with pytest.raises(ModelError, match=r"style .liver. .* not valid"):
        Styles.of("random", replace(model, card=card))
