from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucleigan.data.datasets.patches import Jitter, MixedSampler, PatchSampler
from napari_nucleigan.stains import RUIFROK

EVERYTHING = Jitter((0.75, 1.4), True, 30.0, 0.25, 0.06, 0.04, 1.2, 0.03)
UNIT = RUIFROK / np.linalg.norm(RUIFROK, axis=1, keepdims=True)


def places(height, width):
    """An image that says where each of its pixels lies, and a field that says the same."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, (3 * rows + 5 * columns) % 256], axis=-1).astype(np.uint8)
    field = np.moveaxis(image, -1, 0) / 127.5 - 1
    return image, field


def painted(side=80, seed=0):
    """An image of two stains in random amounts, nowhere darker than a camera sees."""
    random = np.random.default_rng(seed)
    amounts = random.uniform(0.1, 0.6, (side, side, 2))
    return np.rint(255 * np.exp(-amounts @ UNIT)).astype(np.uint8)


def sampler(image, field=None, *, size=32, jitter=None, seed=0, stains=RUIFROK):
    if field is None:
        field = np.zeros((3, *image.shape[:2]))
    return PatchSampler([image], [field], [stains], size, jitter, seed)


def levels(crops):
    """Return crops as they were in the file, channels last."""
    return ((crops + 1) * 127.5).permute(0, 2, 3, 1).numpy()


# -- a pure function of seed and step ------------------------------------------------------------


def test_a_batch_depends_on_seed_and_step_alone():
    first, second = (sampler(painted(), jitter=EVERYTHING, seed=3) for _ in range(2))
    later = second.batch(7, 3)
    torch.manual_seed(1)
    np.random.seed(1)
    for before, after in zip(first.batch(2, 3), second.batch(2, 3), strict=True):
        assert before.numpy().tobytes() == after.numpy().tobytes()
    for before, after in zip(later, first.batch(7, 3), strict=True):
        assert before.numpy().tobytes() == after.numpy().tobytes()


def test_steps_seeds_and_crops_differ():
    batches = [
        sampler(painted(), jitter=EVERYTHING, seed=seed).batch(step, 2)[0] for seed, step in ((0, 0), (0, 1), (1, 0))
    ]
    crops = torch.cat(batches)
    for i in range(len(crops)):
        for j in range(i):
            assert not torch.equal(crops[i], crops[j])


def test_a_smaller_batch_begins_alike():
    patches = sampler(painted(), jitter=EVERYTHING)
    assert torch.equal(patches.batch(4, 2)[0], patches.batch(4, 5)[0][:2])


def test_every_image_is_drawn():
    images = [np.full((40, 40, 3), 50 * i, np.uint8) for i in range(4)]
    patches = PatchSampler(images, [np.zeros((3, 40, 40))] * 4, [RUIFROK] * 4, 32)
    drawn = levels(patches.batch(0, 80)[0])[:, 0, 0, 0]
    assert np.bincount(np.rint(drawn / 50).astype(int), minlength=4).min() > 8


def test_the_images_are_not_changed():
    image, field = places(60, 60)
    copies = image.copy(), field.copy()
    sampler(image, field, jitter=EVERYTHING).batch(0, 8)
    assert np.array_equal(image, copies[0])
    assert np.array_equal(field, copies[1])


# -- geometry ------------------------------------------------------------------------------------


def steps_of(crop):
    """Return how row and column of the image change along the rows and the columns of a crop."""
    down = np.diff(crop[..., :2], axis=0).reshape(-1, 2)
    right = np.diff(crop[..., :2], axis=1).reshape(-1, 2)
    assert np.ptp(down, axis=0).max() == np.ptp(right, axis=0).max() == 0
    return tuple(map(int, (*down[0], *right[0])))


def test_without_zoom_a_crop_is_a_part_of_the_image_turned():
    image, field = places(70, 90)
    crops, fields = sampler(image, field).batch(0, 120)
    assert float((levels(crops) - np.rint(levels(crops))).__abs__().max()) < 0.01
    orientations = set()
    for crop in np.rint(levels(crops)).astype(int):
        orientations.add(steps_of(crop))
        rows, columns = crop[..., 0], crop[..., 1]
        assert np.array_equal(crop, image[rows, columns])
    # Four quarter turns and their mirror images, and no other.
    assert len(orientations) == 8
    assert all(a * c + b * d == 0 for a, b, c, d in orientations)
    assert torch.allclose(crops, fields, atol=1e-5)


def test_without_turns_a_crop_lies_as_the_image():
    image, field = places(70, 90)
    crops, _ = sampler(image, field, jitter=Jitter(turns=False)).batch(0, 20)
    found = np.rint(levels(crops)).astype(int)
    assert {steps_of(crop) for crop in found} == {(1, 0, 0, 1)}
    assert np.ptp(found[:, 0, 0, 0]) > 20
    assert np.ptp(found[:, 0, 0, 1]) > 30


@pytest.mark.parametrize(
    "jitter", [Jitter((0.6, 1.7)), Jitter(rotation=180.0), Jitter((0.75, 1.4), rotation=40.0)], ids=str
)
def test_image_and_field_stay_aligned(jitter):
    image = np.zeros((90, 90, 3), np.uint8)
    random = np.random.default_rng(0)
    for row, column in random.integers(5, 85, (12, 2)):
        image[row - 2 : row + 3, column - 1 : column + 2] = 255
    field = np.moveaxis(image, -1, 0) / 127.5 - 1
    crops, fields = sampler(image, field, jitter=jitter).batch(0, 12)
    assert torch.allclose(crops, fields, atol=1e-5)
    assert fields.max() > 0.9


def test_the_colours_leave_the_field_alone():
    image, field = places(90, 90)
    warp = {"zoom": (0.75, 1.4), "rotation": 20.0}
    plain = sampler(image, field, jitter=Jitter(**warp)).batch(1, 6)
    coloured = sampler(image, field, jitter=Jitter(**warp, stain=0.3, hue=0.1, light=0.1, blur=2.0, noise=0.1)).batch(
        1, 6
    )
    assert torch.equal(plain[1], coloured[1])
    assert not torch.equal(plain[0], coloured[0])


@pytest.mark.parametrize("zoom", [286 / 256, 0.5, 2.0])
def test_a_zoom_shows_as_much_less_of_the_image(zoom):
    image, field = places(250, 250)
    crops, _ = sampler(image, field, size=96, jitter=Jitter((zoom, zoom), turns=False)).batch(0, 4)
    for crop in levels(crops):
        assert crop[-1, 50, 0] - crop[0, 50, 0] == pytest.approx(95 / zoom, abs=0.6)
        assert crop[50, -1, 1] - crop[50, 0, 1] == pytest.approx(95 / zoom, abs=0.6)


def test_the_jitter_of_the_paper_sees_229_pixels():
    # Resized to 286, cropped to 256: an image of 229 and one more on each side is just large enough.
    image, field = places(232, 232)
    crops, _ = sampler(image, field, size=256, jitter=Jitter((286 / 256, 286 / 256), turns=False)).batch(0, 3)
    found = levels(crops)
    assert np.ptp(found[..., 0], axis=(1, 2)) == pytest.approx(255 * 256 / 286, abs=0.6)
    assert found[:, 0, 0, 0] == pytest.approx(found[0, 0, 0, 0], abs=0.01)


def test_zooms_are_as_often_in_as_out():
    image, field = places(200, 200)
    crops, _ = sampler(image, field, size=48, jitter=Jitter((0.5, 2.0), turns=False)).batch(0, 150)
    seen = levels(crops)[:, -1, 24, 0] - levels(crops)[:, 0, 24, 0]
    zooms = 47 / seen
    assert zooms.min() == pytest.approx(0.5, abs=0.03)
    assert zooms.max() == pytest.approx(2.0, abs=0.12)
    assert 0.35 < (zooms < 1).mean() < 0.65


@pytest.mark.parametrize("shape", [(20, 90), (90, 20), (9, 7), (1, 1), (64, 64)])
def test_small_images_continue_by_reflection(shape):
    image, field = places(*shape)
    crops, fields = sampler(image, field, size=64, jitter=Jitter(turns=False)).batch(0, 10)
    assert crops.shape == (10, 3, 64, 64)
    for crop in np.rint(levels(crops)).astype(int):
        rows, columns = crop[..., 0], crop[..., 1]
        assert np.array_equal(crop, image[rows, columns])
        # Mirrored at the edge, a line of the image runs back; it neither jumps nor stops for long.
        for line, length in ((rows[:, 0], shape[0]), (columns[0], shape[1])):
            assert abs(np.diff(line)).max(initial=0) <= 1
            if 1 < length < 64:
                assert line.min() == 0
                assert line.max() == length - 1
    assert torch.allclose(crops, fields, atol=1e-5)


def test_large_images_are_not_continued():
    image, field = places(36, 40)
    crops, _ = sampler(image, field, size=32).batch(0, 60)
    for crop in np.rint(levels(crops)).astype(int):
        assert len(np.unique(crop[..., 0] * 256 + crop[..., 1])) == 32 * 32


def test_crops_in_an_epoch_cover_the_images():
    images = [np.zeros((1000, 1000, 3), np.uint8), np.zeros((256, 512, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)]
    fields = [np.zeros((3, *image.shape[:2])) for image in images]
    assert PatchSampler(images, fields, [RUIFROK] * 3, 256).crops_per_epoch == 16 + 2 + 1


# -- colours -------------------------------------------------------------------------------------


def densities(crops):
    """Return the optical densities of crops, one row for each pixel."""
    return -np.log(((crops + 1) / 2).permute(0, 2, 3, 1).double().numpy()).reshape(len(crops), -1, 3)


@pytest.mark.parametrize("jitter", [EVERYTHING, Jitter(stain=2.0, hue=1.0, light=1.0, blur=10.0, noise=1.0)], ids=str)
def test_crops_keep_to_their_ranges(jitter):
    image, field = places(64, 80)
    crops, fields = sampler(image, field, jitter=jitter).batch(0, 30)
    for tensor in (crops, fields):
        assert tensor.shape == (30, 3, 32, 32)
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert tensor.isfinite().all()
        assert tensor.min() >= -1
        assert tensor.max() <= 1


def test_fields_are_kept_to_an_eighth_bit():
    field = np.random.default_rng(0).uniform(-1, 1, (3, 40, 40))
    _, fields = sampler(painted(40), field, jitter=Jitter(turns=False)).batch(0, 1)
    values = fields[0].numpy()
    nearest = np.abs(field.reshape(3, -1)[:, None, :] - values.reshape(3, -1)[:, :50, None]).min(axis=2)
    assert nearest.max() <= 1 / 255


def test_white_stays_white_however_the_stains_change():
    white = np.full((40, 40, 3), 255, np.uint8)
    crops, _ = sampler(white, jitter=Jitter(stain=0.5, hue=0.2, blur=1.5)).batch(0, 20)
    assert crops.min() > 0.999


def test_white_stays_near_white_under_all_the_jitter_of_training():
    white = np.full((40, 40, 3), 255, np.uint8)
    crops, _ = sampler(white, jitter=EVERYTHING).batch(0, 60)
    means = crops.mean(dim=(1, 2, 3))
    assert means.min() > 0.7
    assert means.median() > 0.95


def test_each_stain_grows_by_one_factor_in_all_of_a_crop():
    image = painted()
    patches, plain = (sampler(image, size=8, jitter=Jitter(stain=stain)) for stain in (0.2, 0.0))
    before = densities(plain.batch(0, 300)[0]) @ np.linalg.pinv(UNIT)
    after = densities(patches.batch(0, 300)[0]) @ np.linalg.pinv(UNIT)
    ratios = after / before
    factors = np.median(ratios, axis=1)
    assert np.abs(ratios / factors[:, None] - 1).max() < 0.05
    logarithms = np.log(factors)
    assert logarithms.std(axis=0) == pytest.approx([0.2, 0.2], rel=0.15)
    assert abs(np.corrcoef(logarithms.T)[0, 1]) < 0.2


def test_hue_jitter_turns_the_stains_a_little():
    image = painted()
    before, after = (densities(sampler(image, jitter=Jitter(hue=hue)).batch(0, 20)[0]) for hue in (0.0, 0.06))
    cosines = (before * after).sum(axis=2) / (np.linalg.norm(before, axis=2) * np.linalg.norm(after, axis=2))
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean(axis=1)
    assert 0.5 < np.median(angles) < 10
    assert angles.max() < 25


def test_crops_borrow_the_stains_of_other_images():
    # Two images, each of haematoxylin alone, of different colours; no jitter but the choice of the vectors.
    vectors = np.array([[[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], [[0.45, 0.60, 0.66], [0.07, 0.99, 0.11]]])
    images = [
        np.rint(255 * np.exp(-np.random.default_rng(0).uniform(0.3, 1, (40, 40, 1)) * (v[0] / np.linalg.norm(v[0]))))
        for v in vectors
    ]
    patches = PatchSampler(
        [image.astype(np.uint8) for image in images], [np.zeros((3, 40, 40))] * 2, vectors, 32, Jitter(stain=1e-9)
    )
    found = densities(patches.batch(0, 40)[0]).mean(axis=1)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    near = np.abs(found[:, None] - vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)).max(axis=2)
    assert near.min(axis=1).max() < 0.02
    assert 10 <= (near.argmin(axis=1) == 0).sum() <= 30


def test_stains_that_cannot_be_told_apart_give_way_to_typical_ones():
    parallel = np.array([[0.6, 0.7, 0.3], [0.61, 0.7, 0.3]])
    jitter = Jitter(stain=0.3, hue=0.05)
    odd = sampler(painted(), jitter=jitter, stains=parallel).batch(0, 4)[0]
    assert torch.equal(odd, sampler(painted(), jitter=jitter).batch(0, 4)[0])


def test_light_changes_all_channels_by_one_factor():
    grey = np.full((40, 40, 3), [200, 120, 60], np.uint8)
    crops, _ = sampler(grey, jitter=Jitter(light=0.05)).batch(0, 60)
    factors = (levels(crops) / [200, 120, 60]).reshape(60, -1)
    assert np.ptp(factors, axis=1).max() < 1e-4
    assert factors[:, 0].std() == pytest.approx(0.05, rel=0.4)


def test_half_of_the_crops_are_blurred():
    crops, _ = sampler(painted(), jitter=Jitter(blur=1.5)).batch(0, 60)
    sharp, _ = sampler(painted()).batch(0, 60)
    roughness = crops.diff(dim=3).std(dim=(1, 2, 3)) / sharp.diff(dim=3).std(dim=(1, 2, 3))
    blurred = roughness < 0.999
    assert 18 <= int(blurred.sum()) <= 42
    assert roughness[blurred].median() < 0.6
    assert torch.allclose(crops.mean(dim=(2, 3)), sharp.mean(dim=(2, 3)), atol=0.01)


def test_half_of_the_crops_get_noise():
    flat = np.full((40, 40, 3), 128, np.uint8)
    crops, _ = sampler(flat, jitter=Jitter(noise=0.05)).batch(0, 60)
    deviations = crops.std(dim=(1, 2, 3)) / 2
    noisy = deviations > 1e-6
    assert 18 <= int(noisy.sum()) <= 42
    assert deviations.max() < 0.055


# -- crops with another of the same image --------------------------------------------------------


def two_colours():
    """Two images of one stain each, in random amounts, whose fields say which of them it is."""
    images, fields = [], []
    for index, density in enumerate(UNIT):
        amounts = np.random.default_rng(index).uniform(0.2, 0.8, (80, 80, 1))
        images.append(np.rint(255 * np.exp(-amounts * density)).astype(np.uint8))
        fields.append(np.full((3, 80, 80), 2.0 * index - 1))
    return images, fields


def test_a_styled_batch_depends_on_seed_and_step_alone():
    first, second = (sampler(painted(), jitter=EVERYTHING, seed=3) for _ in range(2))
    later = second.styled_batch(7, 3)
    np.random.seed(1)
    for step, expected in ((2, second.styled_batch(2, 3)), (7, later)):
        *tensors, indices, classes = first.styled_batch(step, 3)
        assert indices == expected[-2]
        assert classes is None
        for before, after in zip(tensors, expected, strict=False):
            assert before.shape == (3, 3, 32, 32)
            assert before.dtype == torch.float32
            assert before.abs().max() <= 1
            assert torch.equal(before, after)
    assert torch.equal(first.styled_batch(4, 2)[0], first.styled_batch(4, 5)[0][:2])
    assert not torch.equal(first.styled_batch(0, 2)[0], sampler(painted(), jitter=EVERYTHING).styled_batch(0, 2)[0])


def test_the_other_crop_is_of_the_same_image_and_elsewhere():
    images, fields = two_colours()
    patches = PatchSampler(images, fields, [RUIFROK] * 2, 32)
    found, masks, others, indices, _ = patches.styled_batch(0, 40)
    assert set(indices) == {0, 1}
    for crop, mask, other, index in zip(found, masks, others, indices, strict=True):
        assert mask.mean() == pytest.approx(2 * index - 1, abs=0.01)
        assert not torch.equal(crop, other)
        for part in (crop, other):
            vector = densities(part[None])[0].mean(axis=0)
            assert vector / np.linalg.norm(vector) == pytest.approx(UNIT[index], abs=0.03)


def test_image_and_field_stay_aligned_in_a_styled_batch():
    image, field = places(90, 90)
    crops, fields, others, *_ = sampler(image, field, jitter=Jitter((0.75, 1.4), rotation=40.0)).styled_batch(0, 12)
    assert torch.allclose(crops, fields, atol=1e-5)
    assert (others - fields).abs().mean(dim=(1, 2, 3)).min() > 0.05


def test_classes_stay_aligned_and_are_never_mixed():
    numbers = np.random.default_rng(0).choice([0, 2, 5, 9], (6, 6)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    # The image tells the classes, too.
    image = np.repeat(20 + 20 * numbers[..., None], 3, axis=2)
    patches = PatchSampler(
        [image], [np.zeros((3, 96, 96))], [RUIFROK], 32, Jitter((0.9, 1.1), rotation=20.0), classes=[numbers], cell=8
    )
    crops, _, _, _, classes = patches.styled_batch(0, 12)
    assert classes.shape == (12, 1, 32, 32)
    assert set(classes.unique().tolist()) <= {0, 2, 5, 9}
    cells = classes[..., ::8, ::8]
    assert torch.equal(classes, cells.repeat_interleave(8, 2).repeat_interleave(8, 3))
    seen = ((crops[:, :1, 4::8, 4::8] + 1) * 127.5 - 20) / 20
    assert ((seen - cells).abs() < 0.5).float().mean() > 0.8
    # Crops are what they are without classes.
    plain = PatchSampler([image], [np.zeros((3, 96, 96))], [RUIFROK], 32, Jitter((0.9, 1.1), rotation=20.0))
    assert torch.equal(plain.styled_batch(0, 12)[0], crops)
    assert torch.equal(plain.batch(0, 2)[0], patches.batch(0, 2)[0])


@pytest.mark.parametrize("with_classes", [False, True])
def test_a_styled_batch_is_cut_where_fields_are_known(with_classes):
    image, field = places(90, 90)
    known = np.zeros((90, 90), bool)
    known[:, :30] = True
    classes = [np.ones((90, 90), np.uint8)] * 2 if with_classes else None
    patches = PatchSampler(
        [image] * 2, [field] * 2, [RUIFROK] * 2, 32, Jitter((0.9, 1.1)), known=[known, None], classes=classes, cell=8
    )
    crops, fields, others, indices, numbers = patches.styled_batch(0, 24)
    assert not crops.isnan().any()
    assert not others.isnan().any()
    assert (numbers is None) is not with_classes
    shares = fields.isnan().float().mean(dim=(1, 2, 3))
    assert {index for index, share in zip(indices, shares, strict=True) if share > 0} == {0}
    assert np.mean([1 - share for index, share in zip(indices, shares, strict=True) if index == 0]) > 0.3
    seen = ~fields.isnan()
    assert torch.allclose(crops[seen], fields[seen], atol=1e-5)
    # Unknown is what lies on the right, whose columns the second channel tells.
    columns = ((crops[:, 1:2] + 1) * 127.5).expand_as(fields)
    assert columns[fields.isnan()].min() > 27
    assert columns[seen & (torch.tensor(indices)[:, None, None, None] == 0)].max() < 30


def test_the_other_crop_gets_the_same_stain():
    # An image of one colour: whatever happens to that colour happens to both crops.
    plain = np.full((60, 60, 3), (180, 110, 190), np.uint8)
    jitter = Jitter(stain=0.3, hue=0.1, light=0.1)
    crops, _, others, *_ = sampler(plain, jitter=jitter).styled_batch(0, 20)
    colours = crops.mean(dim=(2, 3))
    assert torch.allclose(colours, others.mean(dim=(2, 3)), atol=1e-5)
    assert colours.std(dim=0).min() > 0.05


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_synthetic_crops_come_in_the_given_share(share: float) -> None:
    dark, bright = (_flat(value) for value in (20, 240))
    mixed = MixedSampler(dark, bright, share, seed=3)
    images = torch.cat([mixed.batch(step, 8)[0] for step in range(100)])
    found = float((images.mean(dim=(1, 2, 3)) > 0).float().mean())
    assert abs(found - share) < 0.05
    if share in (0.0, 1.0):
        assert found == share
    again = MixedSampler(dark, bright, share, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(mixed.batch(7, 4), again.batch(7, 4), strict=True))


def _flat(value: int) -> PatchSampler:
    pixels = np.full((64, 64, 3), value, np.uint8)
    return PatchSampler([pixels], [np.zeros((3, 64, 64))], [RUIFROK], 32, Jitter(), seed=3)
