"""Region providers, one a file. Importing this package registers them in ``REGIONS``."""

from dense_cl.regions.providers.coco import CocoRegions
from dense_cl.regions.providers.felzenszwalb import Felzenszwalb
from dense_cl.regions.providers.grid import Grid
from dense_cl.regions.providers.label_maps import LabelMaps
from dense_cl.regions.providers.learned import Learned
from dense_cl.regions.providers.region_cache import RegionCache
from dense_cl.regions.providers.selective_search import SelectiveSearch
from dense_cl.regions.providers.slic import SLIC
from dense_cl.regions.providers.sliding_windows import SlidingWindows

__all__ = [
    "SLIC",
    "CocoRegions",
    "Felzenszwalb",
    "Grid",
    "LabelMaps",
    "Learned",
    "RegionCache",
    "SelectiveSearch",
    "SlidingWindows",
]
