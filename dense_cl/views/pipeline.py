"""albumentations transforms by name, run with a given generator, with their geometry recorded."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, TypeAlias

import albumentations as A
import numpy as np
from albumentations.core.transforms_interface import BasicTransform, Transform3D
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError, nearest
from dense_cl.registry import AUGMENTATIONS
from dense_cl.views import jitter  # noqa: F401  registers ColorJitter
from dense_cl.views.geometry import ViewGeometry
from dense_cl.views.randomness import generators_from
from dense_cl.views.recovery import recover_step

Transform: TypeAlias = Any  # BasicTransform or BaseCompose; albumentations is untyped to mypy
_KINDS = (BasicTransform, A.BaseCompose)

_NOT_AFFINE = {
    "ElasticTransform",
    "GridDistortion",
    "GridElasticDeform",
    "Morphological",
    "Mosaic",
    "OpticalDistortion",
    "Perspective",
    "PiecewiseAffine",
    "RandomGridShuffle",
    "ThinPlateSpline",
}
_NEEDS_LABELS = {
    "AtLeastOneBBoxRandomCrop",
    "BBoxSafeRandomCrop",
    "CropNonEmptyMaskIfExists",
    "MaskDropout",
    "OverlayElements",
    "RandomCropNearBBox",
    "RandomSizedBBoxSafeCrop",
    "TextImage",
}
_BY_CHANNEL = {"SelectiveChannelTransform"}


def _known() -> dict[str, type]:
    return {
        name: value
        for name, value in vars(A).items()
        if inspect.isclass(value) and issubclass(value, _KINDS)
    }


def build_transform(config: Mapping[str, Any] | Transform) -> Transform:
    """Build one transform.

    Args:
        config: ``dict(type=NAME, **arguments)`` with the name of a class registered in
            ``AUGMENTATIONS`` or, failing that, of an albumentations class; or an albumentations
            object as it is. ``OneOf``, ``Sequential`` and the like take a list of such dicts as
            ``transforms``.

    Raises:
        DenseCLError: unknown name or argument (with the nearest valid one), an argument
            albumentations rejects, or a transform whose geometry is not affine.
    """
    if isinstance(config, _KINDS):
        transform = deepcopy(config)  # it is about to be hooked, and may serve elsewhere too
    else:
        arguments = dict(config)
        name = arguments.pop("type", None)
        if name is None:
            raise DenseCLError(f"a transform needs a 'type': {dict(config)}")
        cls = name if inspect.isclass(name) else AUGMENTATIONS.module_dict.get(name)
        cls = cls or _known().get(name)
        if cls is None or not issubclass(cls, _KINDS):
            known = [*_known(), *AUGMENTATIONS.module_dict]
            raise DenseCLError(
                f"'{name}' is not an albumentations transform.{nearest(str(name), known)}"
            )
        _refuse(cls)
        if "transforms" in arguments:
            arguments["transforms"] = [build_transform(t) for t in arguments["transforms"]]
        transform = _construct(cls, arguments)
    for leaf in _leaves(transform):
        _refuse(type(leaf))
    return transform


def _construct(cls: type, arguments: dict[str, Any]) -> Transform:
    parameters = inspect.signature(cls).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for argument in arguments:
        # albumentations only warns about these, and then augments with its defaults.
        if argument not in parameters and not takes_any:
            raise DenseCLError(
                f"transform '{cls.__name__}' has no argument '{argument}'."
                f"{nearest(argument, parameters)}"
            )
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise DenseCLError(f"transform '{cls.__name__}' with {arguments}: {error}") from error


def _refuse(cls: type) -> None:
    name = cls.__name__
    if name in _NOT_AFFINE:
        raise DenseCLError(
            f"transform '{name}' is refused: it is not affine, so pixels of two views could not be"
            " matched. Use affine ones such as Affine, Rotate, RandomRotate90 or a flip"
        )
    if name in _NEEDS_LABELS:
        raise DenseCLError(
            f"transform '{name}' is refused: it needs labels or metadata beside the image, which"
            " unlabelled sources do not have"
        )
    if name in _BY_CHANNEL:
        raise DenseCLError(
            f"transform '{name}' is refused: it may move the channels of one image apart"
        )
    if issubclass(cls, Transform3D):
        raise DenseCLError(f"transform '{name}' is refused: it is for volumes, not for images")


def _leaves(transform: Transform) -> Iterator[Transform]:
    if isinstance(transform, A.BaseCompose):
        for child in transform.transforms:
            yield from _leaves(child)
    else:
        yield transform


def _apply_and_record(
    transform: BasicTransform,
    steps: list[ViewGeometry],
    params: dict[str, Any],
    image: NDArray,
    **others: Any,
) -> dict[str, Any]:
    steps.append(recover_step(transform, params, (image.shape[0], image.shape[1])))
    return {**others, "image": np.ascontiguousarray(transform.apply(image, **params))}


class Pipeline:
    """A list of transforms, applied in order.

    albumentations' ``Compose`` is not used: all it would add here is checks of labels there are
    none of. Spatial transforms, however deeply nested, note the geometry of each application.

    Args:
        transforms: what ``build_transform`` takes, one per step.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any] | Transform]) -> None:
        self.transforms = [build_transform(config) for config in transforms]
        self._steps: list[ViewGeometry] = []
        for leaf in (leaf for t in self.transforms for leaf in _leaves(t)):
            if isinstance(leaf, A.DualTransform) and type(leaf) is not A.NoOp:
                leaf.apply_with_params = partial(_apply_and_record, leaf, self._steps)

    def __call__(
        self, image: NDArray[np.uint8], geometry: ViewGeometry, key: Sequence[int]
    ) -> tuple[NDArray[np.uint8], ViewGeometry]:
        """Transform an (H, W, 3) image.

        Args:
            image: the image.
            geometry: its geometry so far.
            key: all that the outcome depends on beside the image.

        Returns:
            The new image and its geometry.
        """
        py_random, generator = generators_from(*key)
        self._steps.clear()
        for transform in self.transforms:
            transform.set_random_state(generator, py_random)
            image = transform(image=image)["image"]
        for step in self._steps:
            geometry = geometry.filled_by(step)
        return image, geometry
