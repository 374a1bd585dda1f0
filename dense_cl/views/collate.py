"""From samples to the batch the model takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dense_cl.regions.in_view import stack_regions
from dense_cl.registry import FUNCTIONS
from dense_cl.views.batch import ViewBatch
from dense_cl.views.dataset import Sample, Unreadable
from dense_cl.views.geometry import borders_of
from dense_cl.views.group import View


@FUNCTIONS.register_module()
def collate_views(samples: Sequence[Sample | Unreadable]) -> dict[str, Any]:
    """Stack the views of a batch; unreadable files are left out of it and listed.

    Returns:
        ``views``: one ``ViewBatch`` of B images per view, empty when no file was readable;
        ``index``: (B,) int64; ``unreadable``: (name, reason) pairs. B is smaller than the batch
        size by the unreadable ones.
    """
    readable = [sample for sample in samples if isinstance(sample, Sample)]
    unreadable = [(s.name, s.reason) for s in samples if isinstance(s, Unreadable)]
    columns = zip(*(sample.views for sample in readable), strict=True)
    return {
        "views": [_stack(views) for views in columns],
        "index": torch.tensor([sample.index for sample in readable], dtype=torch.int64),
        "unreadable": unreadable,
    }


def _stack(views: Sequence[View]) -> ViewBatch:
    return ViewBatch(
        image=torch.from_numpy(np.stack([view.image for view in views])),
        matrix=torch.from_numpy(np.stack([view.geometry.matrix for view in views])),
        source_size=torch.tensor([view.geometry.source_size for view in views]),
        view_size=views[0].geometry.view_size,
        regions=stack_regions([view.regions for view in views]),
        saliency=_stack_or_none([view.saliency for view in views]),
        crop_tries=_stack_or_none([view.crop_tries for view in views]),
        other_image=views[0].other_image,
        borders=borders_of([view.geometry for view in views]),
    )


def _stack_or_none(values: Sequence[Any]) -> torch.Tensor | None:
    """Stack what all views of a data set have, or none has."""
    return None if values[0] is None else torch.from_numpy(np.stack(values))
