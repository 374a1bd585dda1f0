"""View groups: how many views of an image, of what size, cropped and augmented how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.regions import ViewRegions
from dense_cl.registry import CROPS, VIEWS
from dense_cl.views.crops import CropPolicy, LabelMap, crop_and_resize
from dense_cl.views.geometry import Size, ViewGeometry
from dense_cl.views.pipeline import Pipeline, Transform
from dense_cl.views.randomness import random_from

_SHARED = -1  # in the place of the number of a view


@dataclass(frozen=True, eq=False)
class View:
    """One view of one image.

    Attributes:
        image: (H, W, 3) uint8 RGB, C-contiguous.
        geometry: where it lies in the source.
        regions: what it shows of the regions of the image; None without a provider.
        saliency: (H, W) bool, its salient pixels; None without a provider.
        crop_tries: see ``ViewBatch``.
        other_image: its source is another image than that of the sample's first view.
    """

    image: NDArray[np.uint8]
    geometry: ViewGeometry
    regions: ViewRegions | None = None
    saliency: NDArray[np.bool_] | None = None
    crop_tries: int | None = None
    other_image: bool = False


@VIEWS.register_module()
class ViewGroup:
    """``count`` views of one size, from one crop policy and one list of transforms.

    Args:
        count: views per image.
        size: height and width of the views.
        crop: crop policy (config or object); its boxes are resized to ``size``. None hands the
            whole image to the transforms, which must then bring it to ``size``.
        transforms: albumentations transforms by class name, in order; see ``build_transform``.
        shared: transforms that come first and draw the same for all views of the group, such as
            one flip for both.
        crops_of: number of an earlier group whose boxes this one takes, view by view, instead of a
            crop of its own: the same part of the image at another size (SoCo's down-sized view).
    """

    def __init__(
        self,
        count: int,
        size: Sequence[int],
        crop: Mapping[str, Any] | CropPolicy | None = None,
        transforms: Sequence[Mapping[str, Any] | Transform] = (),
        shared: Sequence[Mapping[str, Any] | Transform] = (),
        crops_of: int | None = None,
    ) -> None:
        if count < 1:
            raise DenseCLError(f"a view group needs at least one view, not count={count}")
        if not (isinstance(size, Sequence) and len(size) == 2 and min(size) > 0):
            raise DenseCLError(f"view size must be (height, width) in pixels, not {size!r}")
        self.count = count
        self.size: Size = (int(size[0]), int(size[1]))
        self.crop = CROPS.build(dict(crop)) if isinstance(crop, Mapping) else crop
        self.pipeline = Pipeline(transforms)
        self.shared = Pipeline(shared)
        if crop is not None and crops_of is not None:
            raise DenseCLError("a view group has a crop, or those of another group, but not both")
        self.crops_of = crops_of

    def take_crops(self, groups: Sequence["ViewGroup"]) -> None:
        """Take the crop policy of group ``crops_of`` among the earlier ``groups`` of a data set.

        Raises:
            DenseCLError: there is no such group, or its views do not fit.
        """
        assert self.crops_of is not None
        if not 0 <= self.crops_of < len(groups):
            raise DenseCLError(f"a view group has crops_of={self.crops_of}, no earlier group")
        other = groups[self.crops_of]
        if other.crop is None or other.crops_of is not None or other.count != self.count:
            raise DenseCLError(
                f"a view group has crops_of={self.crops_of}: that group needs a crop of its own and"
                f" count={self.count}, as many views as take its boxes"
            )
        self.crop = other.crop

    def __call__(
        self, image: NDArray[np.uint8], key: Sequence[int], objects: LabelMap | None = None
    ) -> list[View]:
        """Make the views of an (H, W, 3) image; nothing random but ``key`` decides them.

        Args:
            image: the image.
            key: such as (seed, epoch, index, number of the group); the last part is the group's.
            objects: what is salient in the image, for the crop policy (``CropPolicy.sample``).
        """
        source_size: Size = (image.shape[0], image.shape[1])
        tries: list[int | None] = [None] * self.count
        if self.crop is None:
            starts = [(image, ViewGeometry.identity(source_size))] * self.count
        else:
            # With the key of the group that they are of, the boxes come out the same again.
            drawn_by = key if self.crops_of is None else (*key[:-1], self.crops_of)
            crops = self.crop.sample(source_size, self.count, random_from(*drawn_by), objects)
            starts = [
                (
                    crop_and_resize(image, crop.box, self.size),
                    ViewGeometry.from_box(crop.box, self.size, source_size),
                )
                for crop in crops
            ]
            tries = [crop.tries for crop in crops]
        if self.shared.transforms:
            starts = [self.shared(*start, (*key, _SHARED)) for start in starts]
        views = [
            self._finish(*self.pipeline(*start, (*key, number)))
            for number, start in enumerate(starts)
        ]
        return [replace(v, crop_tries=t) for v, t in zip(views, tries, strict=True)]

    def _finish(self, image: NDArray, geometry: ViewGeometry) -> View:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DenseCLError(
                f"the transforms leave {image.dtype} of shape {image.shape}; views are uint8 RGB"
                " (H, W, 3), normalised on the device: remove ToTensorV2, Normalize or ToFloat"
            )
        if image.shape[:2] != self.size:
            raise DenseCLError(
                f"the transforms leave views of {image.shape[:2]}, not of size={self.size}: set a"
                f" crop, or end with dict(type='Resize', height={self.size[0]},"
                f" width={self.size[1]})"
            )
        return View(image, geometry)
