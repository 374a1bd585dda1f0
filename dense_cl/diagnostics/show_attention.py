"""Where a backbone looks to find the second view in the first, before and after training, drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dense_cl.diagnostics.show import HEIGHT, Drawing, Seen, backbones
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.localization_metrics import pointing_hit
from dense_cl.losses.attention import attention_loss, masked_images, saliency_on_cells
from dense_cl.models.grad_cam import pair_grad_cam
from dense_cl.report.draw import Picture, tile
from dense_cl.report.draw_views import draw_attention, draw_label_map, fitted, framed
from dense_cl.views.batch import ViewBatch

_THRESHOLD = 0.5  # share of a map's largest value that is outlined


def show_attention(seen: Seen, file: str | Path | None = None, seed: int = 0) -> Drawing:
    """Draw Grad-CAM of the score of each pair of views over view 0, beside its saliency.

    The score is the cosine of the averaged last maps of view 0 and of what is salient in view 1.
    Exported weights have no projection head, and so before and after training are asked the same,
    whatever the method. In training the score has the head behind it; maps differ by that. What is
    black of view 1 has the mean colour for the backbone. The layer is that of the recipe's
    ``GradCAMAttention``, else the last. An image that shows nothing salient in one of the views is
    drawn, with its key as it is, and gets no numbers.

    Args:
        seen: the views, with saliency.
        file: weights for a second map after training.
        seed: of the weights before training.

    Raises:
        DenseCLError: the recipe's data do not say what is salient, or there is one view only.
    """
    if len(seen.views) < 2 or any(view.saliency is None for view in seen.views[:2]):
        raise DenseCLError(
            "attention is drawn for two views of which it is known what is salient: set"
            " train_dataloader.dataset.saliency (docs/saliency.md)."
        )
    query, key = seen.views[:2]
    assert key.saliency is not None
    titles = ["view 0", "salient", "salient in view 1"]
    shown_BHWC = masked_images(key.image.permute(0, 3, 1, 2), key.saliency).permute(0, 2, 3, 1)
    columns = [
        [framed(query.image[row].numpy(), 0) for row in range(len(seen.names))],
        [_shaded(query, row) for row in range(len(seen.names))],
        [framed(picture, 1) for picture in shown_BHWC.numpy()],
    ]
    facts: list[dict[str, Any]] = [{"image": name} for name in seen.names]
    for when, backbone in backbones(seen.config, file, seed).items():
        key_BCHW = backbone.normalised(key.image)
        maps_BHW = pair_grad_cam(
            backbone.module,
            backbone.normalised(query.image),
            masked_images(key_BCHW, key.saliency.to(key_BCHW.device)),
            _layer(seen),
        ).cpu()
        titles.append(when)
        columns.append(
            [
                draw_attention(query.image[row].numpy(), attention.numpy(), _THRESHOLD)
                for row, attention in enumerate(maps_BHW)
            ]
        )
        for fact, numbers in zip(facts, _numbers(maps_BHW, query, key), strict=True):
            fact[when] = numbers
    rows = [[fitted(p, HEIGHT)[0] for p in row] for row in zip(*columns, strict=True)]
    return Drawing(tile(rows, titles), {"layer": _layer(seen), "images": facts})


def _layer(seen: Seen) -> str | int:
    objectives: list[Mapping[str, Any]] = seen.config.model.objectives
    given = [o.get("layer", -1) for o in objectives if o["type"] == "GradCAMAttention"]
    return given[0] if given else -1


def _shaded(view: ViewBatch, row: int) -> Picture:
    assert view.saliency is not None
    return draw_label_map(view.image[row].numpy(), view.saliency[row].numpy().astype(int) - 1)


def _numbers(
    maps_BHW: Tensor, query: ViewBatch, key: ViewBatch
) -> list[dict[str, float | None] | None]:
    """Return for each image how its map agrees with the saliency, None where nothing is salient."""
    assert query.saliency is not None and key.saliency is not None
    grid = (int(maps_BHW.shape[1]), int(maps_BHW.shape[2]))
    cells_BHW = saliency_on_cells(query.saliency, grid)
    numbers: list[dict[str, float | None] | None] = []
    for row, attention in enumerate(maps_BHW):
        salient = query.saliency[row].numpy()
        if not salient.any() or not key.saliency[row].any():
            numbers.append(None)
            continue
        loss = attention_loss(attention[None], cells_BHW[row][None]).loss
        hit = pointing_hit(np.asarray(attention), salient)
        numbers.append({"cosine_to_saliency": round(1 - float(loss), 3), "pointing": hit})
    return numbers
