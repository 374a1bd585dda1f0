"""Where images come from. Importing this package registers every source in ``SOURCES``.

It also turns OpenCV's threads off: a data worker forked while they exist hangs at its next call
into OpenCV, and images are spread over processes anyway.
"""

import cv2

from dense_cl.sources.base import (
    ImageSource,
    StreamingSource,
    UnreadableImageError,
    source_from_path,
)
from dense_cl.sources.coco import CocoSource, resolve_image_root
from dense_cl.sources.decode import MAX_PIXELS, decode_image
from dense_cl.sources.file_list import ListSource
from dense_cl.sources.files import FileSource, load_image
from dense_cl.sources.folder import FolderSource
from dense_cl.sources.quarantine import Quarantine
from dense_cl.sources.synthetic import SyntheticScenes
from dense_cl.sources.webdataset import WebDatasetSource

cv2.setNumThreads(0)

__all__ = [
    "MAX_PIXELS",
    "CocoSource",
    "FileSource",
    "FolderSource",
    "ImageSource",
    "ListSource",
    "Quarantine",
    "StreamingSource",
    "SyntheticScenes",
    "UnreadableImageError",
    "WebDatasetSource",
    "decode_image",
    "load_image",
    "resolve_image_root",
    "source_from_path",
]
