from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from skimage.io import imread

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.stains import METHODS, REFERENCE, RUIFROK, StainFit, concentrations, fit, normalize
from napari_nucleigan.stains.separation import angles_between


@pytest.mark.parametrize("method", METHODS)
def test_background_stays_white_and_neutral(he, method):
    rgb, _ = he
    glass = normalize(rgb, REFERENCE, fit(rgb, method))[:20].astype(int)
    assert glass.min() >= 235
    assert np.ptp(glass) <= 3


@pytest.mark.parametrize("method", METHODS)
def test_normalising_to_itself_changes_little(he, method):
    rgb, _ = he
    found = fit(rgb, method)
    change = np.abs(normalize(rgb, found, found)[20:].astype(int) - rgb[20:])
    if method != "reinhard":  # painted on white, so the light of the glass is taken out
        lit = 255 * rgb[20:].astype(float) / found.white
        change = np.abs(normalize(rgb, found, found)[20:] - lit)
    assert change.mean() < 2


@pytest.mark.parametrize("method", METHODS)
def test_two_stainings_of_one_tissue_come_closer(he, method):
    rgb, labels = he
    # The same tissue, more strongly stained and of a redder eosin.
    found = fit(rgb, "macenko")
    amount = concentrations(rgb, found) * [1.2, 1.6]
    other = np.array([[0.6, 0.7, 0.4], [0.25, 0.8, 0.5]])
    restained = (240 * np.exp(-amount @ other)).astype(np.uint8)
    before = np.abs(rgb[20:].astype(int) - restained[20:]).mean()
    first, second = (normalize(image, REFERENCE, fit(image, method)) for image in (rgb, restained))
    after = np.abs(first[20:].astype(int) - second[20:]).mean()
    assert after < 0.5 * before
    nuclei = labels > 0
    assert first[nuclei][:, 0].mean() + 30 < first[~nuclei][:, 0].mean()


@pytest.mark.parametrize("method", ["vahadane", "macenko"])
def test_percentiles_meet_the_target(he, method):
    rgb, _ = he
    out = fit(normalize(rgb, REFERENCE, fit(rgb, method)), method)
    assert np.allclose(out.max_concentrations, REFERENCE.max_concentrations, rtol=0.15)


def test_reinhard_moves_mean_and_deviation(he):
    rgb, _ = he
    out = fit(normalize(rgb, REFERENCE, fit(rgb, "reinhard")), "reinhard")
    assert np.allclose(out.lab_mean, REFERENCE.lab_mean, atol=2)
    assert np.allclose(out.lab_std, REFERENCE.lab_std, atol=2)


def test_a_tile_is_treated_as_its_image(he):
    rgb, _ = he
    for method in METHODS:
        source = fit(rgb, method)
        whole = normalize(rgb, REFERENCE, source)
        assert np.array_equal(whole[30:70, 40:90], normalize(rgb[30:70, 40:90], REFERENCE, source))


def test_a_source_is_fitted_where_none_is_given(he):
    rgb, _ = he
    given = normalize(rgb, REFERENCE, fit(rgb, REFERENCE.method))
    assert np.array_equal(normalize(rgb, REFERENCE), given)


def test_identity_returns_a_copy(he):
    rgb, _ = he
    identity = fit(np.full((8, 8, 3), 255, dtype=np.uint8))
    for target, source in ((identity, None), (REFERENCE, identity), (identity, REFERENCE)):
        out = normalize(rgb, target, source)
        assert np.array_equal(out, rgb)
        assert out is not rgb


def test_extreme_levels_stay_in_range():
    rgb = np.zeros((4, 4, 3), dtype=np.uint8)
    rgb[:2] = 255
    out = normalize(rgb, REFERENCE, REFERENCE)
    assert (out[:2] == 255).all()
    assert out[2:].max() < 20
    reinhard = StainFit.from_json(REFERENCE.to_json() | {"method": "reinhard"})
    assert (normalize(rgb, REFERENCE, reinhard)[:2] == 255).all()


def test_concentrations_tell_nuclei_from_stroma(he):
    rgb, labels = he
    amount = concentrations(rgb, fit(rgb))
    assert amount.shape == (*labels.shape, 2)
    assert amount.dtype == np.float32
    assert (amount >= 0).all()
    assert amount[:20].max() < 0.01
    assert amount[labels > 0][:, 0].mean() > 3 * amount[20:][labels[20:] == 0][:, 0].mean()


def test_other_arrays_are_refused():
    with pytest.raises(ImageError):
        normalize(np.zeros((4, 4, 4), dtype=np.uint8), REFERENCE)
    with pytest.raises(ImageError):
        concentrations(np.zeros((4, 4, 3), dtype=np.uint16), REFERENCE)  # type: ignore[arg-type]


def constant(colour, size=64):
    return np.full((size, size, 3), colour, dtype=np.uint8)


def one_stain():
    """Shades of haematoxylin alone, with the noise of a camera."""
    random = np.random.default_rng(0)
    amount = random.uniform(0.3, 2, (64, 64, 1))
    return (255 * np.exp(-amount * RUIFROK[0]) + random.normal(0, 0.5, (64, 64, 3))).astype(np.uint8)


def grey(seed=0):
    level = np.random.default_rng(seed).integers(40, 250, (64, 64, 1), dtype=np.uint8)
    return np.repeat(level, 3, axis=2)


DEGENERATE = {
    "all white": constant(255),
    "all black": constant(0),
    "one pixel": constant((150, 80, 160), 1),
    "constant": constant((150, 80, 160)),
    "greyscale": grey(),
    "inverted": 255 - constant((150, 80, 160)),
    "blue on black": constant((0, 0, 180)),
    "no pixels": np.zeros((0, 0, 3), dtype=np.uint8),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_images_without_two_stains_are_left_as_they_are(name, method):
    found = fit(DEGENERATE[name], method)
    assert found.method == "identity"
    assert "left as they are" in found.notes[-1]
    assert np.array_equal(found.matrix, RUIFROK)
    assert np.isfinite(found.lab_mean).all()


def test_both_refusals_are_said():
    found = fit(one_stain())
    assert found.method == "identity"
    assert len(found.notes) == 2
    assert "Vahadane" in found.notes[0]
    assert "Macenko" in found.notes[1]
    assert fit(one_stain(), "reinhard").method == "reinhard"


@pytest.mark.parametrize("method", METHODS)
def test_fit_of_he(method, he):
    rgb, _ = he
    found = fit(rgb, method)
    assert found.method == method
    assert found.notes == ()
    assert (found.matrix >= 0).all()
    assert np.allclose(np.linalg.norm(found.matrix, axis=1), 1)
    assert angles_between(found.matrix, RUIFROK).max() < 30
    assert (found.max_concentrations > 0).all()


def test_an_implausible_sparse_fit_falls_back_to_macenko(he, monkeypatch):
    rgb, _ = he
    blue = np.array([[0, 0, 1.0], [0, 1.0, 0]])
    monkeypatch.setattr("napari_nucleigan.stains.normalization.vahadane", lambda *_: blue)
    found = fit(rgb)
    assert found.method == "macenko"
    assert "refused, haematoxylin lies" in found.notes[0]


def test_fit_refuses_other_arrays_and_methods():
    with pytest.raises(ImageError, match="float64 of shape"):
        fit(np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="convert"):
        fit(np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="vahadane, macenko, reinhard"):
        fit(constant(0), "xu")


def test_json_there_and_back():
    for original in (REFERENCE, fit(constant(255))):
        back = StainFit.from_json(json.loads(json.dumps(original.to_json())))
        assert back.to_json() == original.to_json()
        assert back.matrix.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"matrix": None}, "matrix"),
        ({"matrix": [[1, 0, 0]]}, "matrix must be"),
        ({"matrix": [[-1, 0, 0], [0, 1, 0]]}, "non-negative"),
        ({"matrix": [[2, 0, 0], [0, 1, 0]]}, "unit"),
        ({"lab_std": [1, float("nan"), 1]}, "lab_std"),
        ({"white": [0, 255, 255]}, "white"),
        ({"max_concentrations": [0, 1]}, "positive"),
        ({"method": "magic"}, "magic"),
    ],
)
def test_broken_json_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        StainFit.from_json(REFERENCE.to_json() | change)
    with pytest.raises(ValueError, match="missing"):
        StainFit.from_json({"method": "vahadane"})


def test_seeds_agree_within_two_degrees_on_the_training_tiles(kumar):
    with (kumar / "split.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file) if row["split"] == "train"]
    assert len(names) == 16
    for name in names:
        rgb = imread(next((kumar / "images").glob(f"{name}.*")))[..., :3]
        fits = [fit(rgb, seed=seed) for seed in range(3)]
        for found in fits:
            assert found.method == "vahadane"
            assert (found.matrix >= 0).all()
            assert found.matrix[0, 0] > found.matrix[1, 0]
            assert angles_between(found.matrix, fits[0].matrix).max() < 2
