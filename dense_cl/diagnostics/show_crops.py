"""What is salient in the photos of a recipe, and how its crops lie to that, drawn."""

from typing import Any

import cv2
import numpy as np

from dense_cl.diagnostics.show import HEIGHT, Drawing, Seen
from dense_cl.errors import DenseCLError
from dense_cl.report.draw import Picture, tile
from dense_cl.report.draw_views import (
    draw_label_map,
    draw_numbers,
    draw_outlines,
    fitted,
    framed,
)
from dense_cl.views.batch import CONSTRUCTED, UNCONSTRAINED, ViewBatch, crop_rates
from dense_cl.views.collate import collate_views
from dense_cl.views.crops import LabelMap
from dense_cl.views.geometry import geometries

# In the order of the palette; crops of a policy that does not count are drawn as first tries.
_COLOURS = {"first_try": "blue", "retry": "orange", "constructed": "green", "unconstrained": "pink"}


def show_saliency(seen: Seen) -> Drawing:
    """Shade and number the salient objects of every photo, and what each view shows of them.

    Raises:
        DenseCLError: the recipe's data do not say what is salient.
    """
    rows, facts = [], []
    for row, name in enumerate(seen.names):
        objects = _objects(seen, row)
        if objects is None:
            raise DenseCLError(
                "the recipe's data do not say what is salient: set"
                " train_dataloader.dataset.saliency (docs/crops.md)."
            )
        shown = [view.saliency[row].numpy() for view in seen.views if view.saliency is not None]
        pictures = [
            framed(draw_label_map(view.image[row].numpy(), salient.astype(int) - 1), number)
            for number, (view, salient) in enumerate(zip(seen.views, shown, strict=True))
        ]
        source = fitted(seen.sources[row], HEIGHT)[0]
        rows.append([source, _shaded(source, objects), *pictures])
        views = [round(float(salient.mean()), 3) for salient in shown]
        facts.append({"image": name, **_of_objects(objects), "salient_share_of_views": views})
    titles = ["source", "salient objects", *(f"view {v}" for v in range(len(seen.views)))]
    return Drawing(tile(rows, titles), {"images": facts})


def show_crops(seen: Seen, draws: int) -> Drawing:
    """Draw the crops of the first epochs in their photos, coloured by how they came about.

    Args:
        seen: the photos and their data set.
        draws: epochs.

    Raises:
        DenseCLError: no draw.
    """
    if draws < 1:
        raise DenseCLError(f"--draws {draws}: give 1 or more.")
    rows, facts = [], []
    for row, (index, name) in enumerate(zip(seen.indices, seen.names, strict=True)):
        samples = [seen.dataset[epoch, index] for epoch in range(draws)]
        views: list[ViewBatch] = collate_views(samples)["views"]
        objects = _objects(seen, row)
        source, scale = fitted(seen.sources[row], HEIGHT)
        backdrop = source if objects is None else _shaded(source, objects)
        views = [view for view in views if not view.other_image]  # they are of no crop of this one
        rows.append([_with_crops(backdrop, view, scale) for view in views])
        fact: dict[str, Any] = {"image": name, "rates": _rates(views)}
        if objects is not None:
            fact |= _of_objects(objects)
        facts.append(fact)
    titles = [f"view {v}" for v, view in enumerate(seen.views) if not view.other_image]
    return Drawing(tile(rows, titles), {"draws": draws, "colours": _COLOURS, "images": facts})


def _objects(seen: Seen, row: int) -> LabelMap | None:
    return seen.dataset.objects(seen.sources[row], seen.indices[row])


def _shaded(picture: Picture, objects: LabelMap) -> Picture:
    size = picture.shape[1::-1]
    ids = np.asarray(cv2.resize(objects, size, interpolation=cv2.INTER_NEAREST), np.int16)
    return draw_numbers(draw_label_map(picture, ids), ids)


def _of_objects(objects: LabelMap) -> dict[str, Any]:
    """Say how many salient objects there are, and what share of the photo each takes."""
    shares = np.bincount(objects[objects >= 0], minlength=1) / objects.size
    return {
        "objects": int(np.count_nonzero(shares)),
        "share_of_photo": [round(float(share), 4) for share in shares[shares > 0]],
    }


def _with_crops(picture: Picture, view: ViewBatch, scale: float) -> Picture:
    outlines = [place.outline() * scale for place in geometries(view)]
    tries = [1] * len(outlines) if view.crop_tries is None else view.crop_tries.tolist()
    return draw_outlines(picture, outlines, [_colour(count) for count in tries])


def _colour(tries: int) -> int:
    return {1: 0, CONSTRUCTED: 2, UNCONSTRAINED: 3}.get(tries, 1)


def _rates(views: list[ViewBatch]) -> list[dict[str, float]]:
    """Return the rates of each view, which are empty if its crop policy does not count."""
    return [
        {name: round(float(rate), 4) for name, rate in crop_rates([view]).items()} for view in views
    ]
