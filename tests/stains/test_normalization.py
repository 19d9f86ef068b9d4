from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.stains import METHODS, REFERENCE, StainFit, concentrations, fit, normalize


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
