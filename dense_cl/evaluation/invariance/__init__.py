"""How little features change when only one thing in the picture does."""

from dense_cl.evaluation.invariance.evaluate import evaluate_invariance
from dense_cl.evaluation.invariance.firing import firing_rates
from dense_cl.evaluation.invariance.image_sets import (
    ImageSets,
    folder_sets,
    reference_sets,
    scene_sets,
)
from dense_cl.evaluation.invariance.transforms import TRANSFORMS, transform_sets
from dense_cl.evaluation.invariance.whitening import Whitening

__all__ = [
    "TRANSFORMS",
    "ImageSets",
    "Whitening",
    "evaluate_invariance",
    "firing_rates",
    "folder_sets",
    "reference_sets",
    "scene_sets",
    "transform_sets",
]
