"""ORL's object-level training: BYOL on images, on objects, and on alike objects of two images."""

from collections.abc import Mapping
from typing import Any

from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.models.heads import Predictor
from dense_cl.objectives.image.byol import BYOL
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class ORL(BYOL):
    """BYOL's distance on three pairs of views; the third stage of ORL.

    Xie et al., arXiv 2106.11952; Jiahao000/ORL ``openselfsup/models/orl.py``: views 0 and 1 show
    the image, 2 and 3 a region of it and the same region shifted and scaled (intra-RoI), 4 and 5
    two regions that look alike, of this image and of another (inter-RoI). These are the views of
    ``dense_cl.views.object_pairs.ObjectPairDataset``. All pairs go through one projection head;
    each kind has a predictor of its own, as in that code.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        predictor: options of ``dense_cl.models.heads.Predictor``, for each of the three.
        image_weight: of the distance of the two image views.
        intra_weight: of that of the two views of one region.
        inter_weight: of that of the two regions of different images.
    """

    name = "orl"
    online_views = (0, 1, 2, 3, 4, 5)
    target_views = (0, 1, 2, 3, 4, 5)
    other_image_views = (5,)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
        image_weight: float = 1.0,
        intra_weight: float = 1.0,
        inter_weight: float = 1.0,
    ) -> None:
        super().__init__(in_channels, head, predictor)
        self.intra_predictor = Predictor(self.head.out_channels, **(predictor or {}))
        self.inter_predictor = Predictor(self.head.out_channels, **(predictor or {}))
        self.weights = {"image": image_weight, "intra": intra_weight, "inter": inter_weight}

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the weighted sum of three distances, each in [0, 8]."""
        outputs = {
            "image": self.compare(features, (0, 1), self.predictor),
            "intra": self.compare(features, (2, 3), self.intra_predictor),
            "inter": self.compare(features, (4, 5), self.inter_predictor),
        }
        terms = [self.weights[kind] * output.loss for kind, output in outputs.items()]
        return ObjectiveOutput(
            terms[0] + terms[1] + terms[2],
            {
                f"{kind}_similarity": output.diagnostics["positive_similarity"]
                for kind, output in outputs.items()
            },
        )
