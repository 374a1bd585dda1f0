"""A page that shows for every photo where objects are and where a backbone sees them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dense_cl.errors import DenseCLError
from dense_cl.report import html
from dense_cl.report.draw import encode, tile
from dense_cl.report.draw_views import draw_attention, draw_boxes, fitted

_HEIGHT = 200  # of a photo on the page, in pixels
_MOST = 120  # photos on a page: some 35 kB each
_COLOURS = {"truth": 2, "lost": 1, "token_cut": 0}  # of the palette: green, orange, blue


class LocalizationPage:
    """Collects a picture of each image while they are evaluated.

    Args:
        threshold: share of the largest value of an attention map that marks the object.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._shown: list[tuple[float, Mapping[str, Any], bytes]] = []

    def __call__(self, record: Mapping[str, Any], objects: Any, found: Any) -> None:
        """Draw one image (see ``evaluate_localization``)."""
        picture, scale = fitted(objects.image, _HEIGHT)
        boxes = {"truth": objects.boxes, "lost": [found.lost.box(objects.size)]}
        boxes["token_cut"] = [found.token_cut.box(objects.size)]
        drawn = picture
        for name, some in boxes.items():
            scaled = np.array(some).reshape(-1, 4) * scale
            drawn = draw_boxes(drawn, scaled, [_COLOURS[name]] * len(scaled))
        overlay = draw_attention(picture, found.grad_cam, self.threshold)
        self._shown.append((_quality(record), record, encode(tile([[drawn, overlay]]), 80)))

    def write(self, result: Mapping[str, Any], file: str | Path) -> None:
        """Write the page.

        Raises:
            DenseCLError: it cannot be written.
        """
        try:
            html.save(self._page(result), file)
        except OSError as error:
            raise DenseCLError(f"'{file}' cannot be written: {error.strerror}.") from error

    def _page(self, result: Mapping[str, Any]) -> str:
        rows = [
            (
                f"{score}, {finder}".replace("_", " "),
                f"{100 * value:.1f}",
                "{:.1f} to {:.1f}".format(*(100 * x for x in result["intervals"][score][finder])),
            )
            for score, by_finder in result["scores"].items()
            for finder, value in by_finder.items()
        ]
        ordered = sorted(self._shown, key=lambda shown: shown[0])[:_MOST]
        figures = [
            html.figure(picture, _caption(record), f"{record['image']}: boxes and attention")
            for _, record, picture in ordered
        ]
        settings = result["settings"]
        lead = (
            f"{result['backbone']} on {result['images']} images, stage {settings['stage']}, "
            f"{settings['size']} pixels"
        )
        explanation = (
            "Left: annotated objects (green), the box of LOST (orange) and of TokenCut (blue)."
            " Right: Grad-CAM of the cosine with random crops of the same photo, hot where it is"
            f" high; the line surrounds what exceeds {self.threshold:g} of its maximum. The photos"
            " with the smallest mean of both boxes' and the map's IoU come first."
        )
        if len(self._shown) > _MOST:
            explanation += f" The {_MOST} worst of {len(self._shown)} photos are shown."
        blocks = [
            html.section(
                "Scores", html.table(("score, who", "%", "95 % interval over images"), rows)
            ),
            html.section("Photos", html.paragraph(explanation), *figures),
        ]
        footer = " · ".join(f"{name} {version}" for name, version in result["versions"].items())
        return html.page("Localisation", lead, blocks, footer)


def _quality(record: Mapping[str, Any]) -> float:
    boxes = record["box_iou"]
    return float(np.mean([boxes["lost"], boxes["token_cut"], record["iou"]["grad_cam"]]))


def _caption(record: Mapping[str, Any]) -> str:
    boxes = record["box_iou"]
    on_object = "on" if record["pointing"]["grad_cam"] else "not on"
    return (
        f"{record['image']}: {record['objects']} objects; IoU of LOST {boxes['lost']:.2f}, TokenCut"
        f" {boxes['token_cut']:.2f}, Grad-CAM {record['iou']['grad_cam']:.2f}, its maximum"
        f" {on_object} an object"
    )
