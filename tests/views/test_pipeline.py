import pickle

import albumentations as A
import numpy as np
import pytest
import torch
from fakes import MOCO, noise_image
from PIL import Image
from torchvision.transforms import functional as reference

from dense_cl.errors import DenseCLError
from dense_cl.registry import AUGMENTATIONS
from dense_cl.views.geometry import ViewGeometry
from dense_cl.views.group import ViewGroup
from dense_cl.views.jitter import ColorJitter
from dense_cl.views.pipeline import Pipeline, build_transform

CROP = dict(type="RandomResizedCrop")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(type="HorizontlFlip", p=1), "Did you mean 'HorizontalFlip'"),
        (dict(p=1), "needs a 'type'"),
        (dict(type="GaussianBlur", sigma_limits=(0.1, 2)), "Did you mean 'sigma_limit'"),
        (dict(type="ColorJitter", hues=0.1), "Did you mean 'hue'"),
        (dict(type="ColorJitter", hue=(0.1, 0.9)), "ColorJitter"),
        (dict(type="HorizontalFlip", p=1.5), "HorizontalFlip"),
        (dict(type="ElasticTransform", p=1), "'ElasticTransform' is refused: it is not affine"),
        (dict(type="Perspective"), "'Perspective' is refused"),
        (dict(type="BBoxSafeRandomCrop"), "needs labels"),
        (dict(type="RandomCrop3D", size=(1, 2, 3)), "for volumes"),
        (dict(type="OneOf", transforms=[dict(type="GridDistortion")]), "'GridDistortion'"),
        (A.Sequential([A.OpticalDistortion()]), "'OpticalDistortion'"),
    ],
    ids=str,
)
def test_mistakes_are_named(config, message):
    with pytest.raises(DenseCLError, match=message):
        build_transform(config)


@pytest.mark.filterwarnings("ignore:.*(special case|alias).*:UserWarning")
def test_every_spatial_transform_of_albumentations_is_either_refused_or_traced():
    """No class of the installed version slips through with a geometry nobody checked."""
    arguments = {
        "Affine": dict(rotate=20),
        "CenterCrop": dict(height=20, width=20),
        "Crop": dict(x_max=20, y_max=20),
        "CropAndPad": dict(px=4),
        "FrequencyMasking": None,
        "Lambda": dict(),
        "LongestMaxSize": dict(max_size=30),
        "PadIfNeeded": dict(min_height=70, min_width=70),
        "RandomCrop": dict(height=20, width=20),
        "RandomResizedCrop": dict(size=(20, 20)),
        "RandomSizedCrop": dict(min_max_height=(10, 20), size=(20, 20)),
        "Resize": dict(height=20, width=20),
        "SmallestMaxSize": dict(max_size=30),
        "XYMasking": dict(num_masks_x=1, num_masks_y=1, mask_x_length=5, mask_y_length=5),
        "TimeMasking": None,
        "ConstrainedCoarseDropout": None,  # needs masks or boxes, by its arguments
    }
    bases = {"DualTransform", "Transform3D"}
    image, start = noise_image("x")[:40, :40], ViewGeometry.identity((40, 40))
    traced = 0
    for name, cls in vars(A).items():
        if not (isinstance(cls, type) and issubclass(cls, A.DualTransform)) or name in bases:
            continue
        if arguments.get(name, dict()) is None:
            continue
        try:
            transform = build_transform(dict(type=name, p=1.0, **arguments.get(name, {})))
        except DenseCLError as error:
            assert "refused" in str(error), name
            continue
        view, geometry = Pipeline([transform])(image, start, (3,))
        assert geometry.view_size == view.shape[:2], name
        traced += 1
    assert traced > 25


def test_a_registered_class_and_an_object_are_taken():
    class Darken(A.ImageOnlyTransform):
        def __init__(self, p=0.5, **others):
            super().__init__(p=p)
            self.others = others

        def apply(self, img, **params):
            return img // 2

    image, start = np.full((4, 5, 3), 200, np.uint8), ViewGeometry.identity((4, 5))
    AUGMENTATIONS.register_module(module=Darken)
    try:
        for config in (dict(type="Darken", p=1, more=2), dict(type=Darken, p=1), Darken(p=1)):
            assert Pipeline([config])(image, start, (0,))[0].max() == 100
    finally:
        AUGMENTATIONS.module_dict.pop("Darken")


def test_one_object_in_two_pipelines_serves_both():
    flip = A.Transpose(p=1)
    image, start = noise_image("y")[:30, :40], ViewGeometry.identity((30, 40))
    first, second = Pipeline([flip]), Pipeline([flip])
    for pipeline in (first, second, first):
        view, geometry = pipeline(image, start, (0,))
        assert geometry.view_size == view.shape[:2] == (40, 30)
        np.testing.assert_allclose(geometry.matrix, [[0, 1, 0], [1, 0, 0]], atol=1e-3)


def test_outcome_depends_on_the_key_alone():
    group = ViewGroup(count=2, size=(32, 40), crop=CROP, transforms=[*MOCO, dict(type="Rotate")])
    image = noise_image("z")
    clone = pickle.loads(pickle.dumps(group))
    first = group(image, (0, 1, 2, 0))
    for _ in range(3):
        group(image, (0, 1, 3, 0))
    np.random.seed(5)
    torch.manual_seed(5)
    for again in (group(image, (0, 1, 2, 0)), clone(image, (0, 1, 2, 0))):
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.image, b.image)
            np.testing.assert_array_equal(a.geometry.matrix, b.geometry.matrix)
    assert not np.array_equal(first[0].image, first[1].image)
    for key in ((1, 1, 2, 0), (0, 2, 2, 0), (0, 1, 3, 0), (0, 1, 2, 1)):
        assert not np.array_equal(first[0].image, group(image, key)[0].image), key


def test_the_input_image_is_left_alone():
    image = noise_image("w")
    before = image.copy()
    group = ViewGroup(count=4, size=image.shape[:2], crop=None, transforms=MOCO)
    for key in range(10):
        group(image, (key,))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(count=0, size=(8, 8)), "at least one view"),
        (dict(count=1, size=8), r"\(height, width\)"),
        (dict(count=1, size=(8, 8), crop=dict(type="RandomResizedCrop", scale=(0, 2))), "scale"),
        (dict(count=1, size=(8, 8), crop=dict(type="RandomResizedCrop", ratio=(2, 1))), "ratio"),
    ],
    ids=str,
)
def test_impossible_groups(arguments, message):
    with pytest.raises(DenseCLError, match=message):
        ViewGroup(**arguments)


def test_views_of_the_wrong_kind_are_refused_with_the_mend():
    image = noise_image("v")
    with pytest.raises(DenseCLError, match="Resize"):
        ViewGroup(count=1, size=(8, 8))(image, (0,))
    with pytest.raises(DenseCLError, match="remove ToTensorV2, Normalize or ToFloat"):
        ViewGroup(count=1, size=(8, 8), crop=CROP, transforms=[dict(type="Normalize")])(image, (0,))


def test_jitter_is_torchvisions():
    """Same factors and order as torchvision on the same image: nearly the same picture."""
    gradient = np.mgrid[0:255:64j, 0:255:48j].transpose(1, 2, 0)
    image = np.dstack([gradient, 255 - gradient[..., :1]]).round().astype(np.uint8)
    by_hand = [
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    ]
    jitter = ColorJitter(p=1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        factors = [*rng.uniform(0.6, 1.4, 3), rng.uniform(-0.5, 0.5)]
        order = list(rng.permutation(4))
        expected = Image.fromarray(image)
        for number in order:
            expected = by_hand[number](expected, factors[number])
        actual = jitter.apply(image, *factors, order=order)
        difference = actual.astype(int) - np.asarray(expected)
        # OpenCV's 8-bit hue has steps of 2 degrees, Pillow's of 1.4; a degree is 4 levels.
        # Pillow rounds each of the three blends down: half a level each.
        assert np.abs(difference).mean() < 4 and -0.5 < difference.mean() < 2


def test_blur_has_the_sigma_it_says():
    """A blurred point has the variance sigma^2, in pixels of the view, as Pillow's radius."""
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    image[19:22, 19:22] = 255
    start = ViewGeometry.identity((41, 41))
    blur = dict(type="GaussianBlur", sigma_limit=(2.0, 2.0), blur_limit=0, p=1)
    blurred = Pipeline([blur])(image, start, (0,))[0][..., 0].astype(float)
    x = np.arange(41) - 20.0
    variance = (blurred.sum(0) * x**2).sum() / blurred.sum() - 2 / 3  # of the 3-pixel square
    assert variance == pytest.approx(4.0, rel=0.06)
