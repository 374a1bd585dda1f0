"""A folder of photos and a folder of masks as a data set of MMSegmentation.

Import it through ``import_mmseg``.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from dense_cl.evaluation.mask_folders import MaskFolders

IGNORED = 255  # how MMSegmentation marks void pixels


@DATASETS.register_module()
class MaskFolderDataset(BaseSegDataset):
    """Pairs of ``MaskFolders``; void pixels become 255.

    Args:
        images: folder of photos, however nested.
        masks: folder of single-channel PNGs of the same names; values are classes.
        num_classes: at most 255.
        ignore: values of void pixels, at most 255.
        classes: a name for each class; their numbers if there are none.
        **kwargs: of ``BaseSegDataset``.
    """

    def __init__(
        self,
        images: str,
        masks: str,
        num_classes: int,
        ignore: Sequence[int] = (IGNORED,),
        classes: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self.folders = MaskFolders.find(images, masks, num_classes, ignore)
        names = tuple(classes) or tuple(map(str, range(num_classes)))
        super().__init__(metainfo=dict(classes=names), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what MMSegmentation's ``LoadAnnotations`` reads, in the order of the names."""
        void = {value: IGNORED for value in self.folders.ignore}
        return [
            dict(
                img_path=str(image),
                seg_map_path=str(mask),
                label_map=void,
                reduce_zero_label=False,
                seg_fields=[],
            )
            for image, mask in self.folders.pairs
        ]
