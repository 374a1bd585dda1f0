"""What decides which regions are called alike."""

from dataclasses import dataclass

from dense_cl.errors import DenseCLError


@dataclass(frozen=True)
class MiningSettings:
    """What decides the pairs beside backbone, images and regions; defaults are the authors'.

    Jiahao000/ORL ``configs/selfsup/orl/coco/stage2/``
    ``r50_bs512_ep800_generate_all_correspondence.py``.

    Attributes:
        neighbours: K, images that each image is compared with.
        keep: part of an image's regions that gives the number of pairs with a neighbour.
        min_size, max_aspect, max_iou, max_boxes: see ``candidate_boxes``.
        size: side of the crops that the backbone sees, in pixels.

    Raises:
        DenseCLError: a value that makes no sense.
    """

    neighbours: int = 10
    keep: float = 0.1
    min_size: float = 96
    max_aspect: float = 3.0
    max_iou: float = 0.5
    max_boxes: int = 100
    size: int = 224

    def __post_init__(self) -> None:
        limits: dict[str, bool] = {
            "neighbours": self.neighbours >= 1,
            "keep": 0 < self.keep <= 1,
            "min_size": self.min_size >= 0,
            "max_aspect": self.max_aspect >= 1,
            "max_iou": 0 <= self.max_iou <= 1,
            "max_boxes": self.max_boxes >= 1,
            "size": self.size >= 1,
        }
        for name, fine in limits.items():
            if not fine:
                raise DenseCLError(f"mining: {name}={getattr(self, name)} makes no sense.")
