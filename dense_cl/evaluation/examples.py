"""Pictures of what a backbone makes of some images, for pages that compare methods."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.report.draw import Picture, encode
from dense_cl.report.draw_views import draw_classes, fitted
from dense_cl.sources.files import load_image
from dense_cl.sources.selection import evenly_spread

PHOTO = "photo"
_EXAMPLES, _HEIGHT = 8, 240


@dataclass(frozen=True)
class Examples:
    """Evenly spread images of a set, the same for every backbone, and where pictures of them go.

    The kind "photo" is the image itself; a page shows it beside the others.

    Attributes:
        folder: of the pictures.
        places: place in the set by name of the image.
        written: files that ``save`` has written; others may be of an earlier result.
    """

    folder: Path
    places: Mapping[str, int]
    written: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, folder: str | Path | None, images: Sequence[str]) -> "Examples":
        """Choose eight of some images, all if there are fewer, none if there is no folder."""
        chosen = evenly_spread(len(images), _EXAMPLES) if folder else []
        return cls(Path(folder or ""), {images[place]: place for place in chosen})

    def __contains__(self, image: str) -> bool:
        """Whether a picture is made of an image."""
        return image in self.places

    def save(self, image: str, kind: str, picture: Picture) -> None:
        """Write a picture of one of the images as a JPEG of 240 lines."""
        file = self._file(image, kind)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(fitted(picture, _HEIGHT)[0]))
        self.written.add(file)

    def add_to(self, records: Sequence[dict[str, Any]], kinds: Collection[str]) -> None:
        """Name in records of a result the pictures that there are, from the folder's parent on."""
        for record in records:
            files = {
                kind: self._file(record["image"], kind) for kind in kinds if record["image"] in self
            }
            names = {
                kind: f"{file.parent.name}/{file.name}"
                for kind, file in files.items()
                if file in self.written
            }
            if names:
                record["pictures"] = record.get("pictures", {}) | names

    def _file(self, image: str, kind: str) -> Path:
        return self.folder / f"{self.places[image]:05}-{kind}.jpg"


def draw_segmentations(
    records: list[dict[str, Any]],
    folders: MaskFolders,
    predict: Callable[[int, tuple[int, int]], Tensor],
    pictures: str | Path | None,
) -> list[dict[str, Any]]:
    """Draw what ``predict`` (see ``PixelCounts.of``) makes of some photos.

    Args:
        records: of the result.
        folders: the photos, in the same order.
        predict: as above.
        pictures: folder, or None for no pictures.

    Returns:
        The records, which name the pictures now.
    """
    examples = Examples.of(pictures, [folders.name(index) for index in range(len(folders))])
    for image, place in examples.places.items():
        pixels = load_image(folders.pairs[place][0])
        examples.save(image, PHOTO, pixels)
        classes = predict(place, (pixels.shape[0], pixels.shape[1]))
        drawn = draw_classes(pixels, classes.numpy(), folders.num_classes)
        examples.save(image, "segmentation", drawn)
    examples.add_to(records, [PHOTO, "segmentation"])
    return records
