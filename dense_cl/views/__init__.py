"""Views of images: crops, augmentations, and exactly where each pixel came from."""

import os

# albumentations asks the network for its latest version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
