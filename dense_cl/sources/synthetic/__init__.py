"""Deterministic multi-object scenes with labels and known nuisance factors."""

from dense_cl.sources.synthetic.render import Rendering, render
from dense_cl.sources.synthetic.scene import FACTORS, Scene, SceneObject, sample_scene, sweep, vary
from dense_cl.sources.synthetic.shapes import CATEGORIES
from dense_cl.sources.synthetic.source import SyntheticScenes
from dense_cl.sources.synthetic.writer import generate_scenes

__all__ = [
    "CATEGORIES",
    "FACTORS",
    "Rendering",
    "Scene",
    "SceneObject",
    "SyntheticScenes",
    "generate_scenes",
    "render",
    "sample_scene",
    "sweep",
    "vary",
]
