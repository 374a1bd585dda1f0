"""``dense_cl.diagnose``: all instruments on the images of a folder, judged and drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dense_cl.diagnostics.examine import examine
from dense_cl.diagnostics.sample import sample_views
from dense_cl.diagnostics.subject import Subject
from dense_cl.engine.state import versions
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import LabelledImages, central_square, class_numbers
from dense_cl.sources import source_from_path
from dense_cl.views.dataset import ViewDataset

_MAP_IMAGES = 150


def diagnose(
    backbone: str | Path,
    data: str | Path,
    annotations: str | Path | None = None,
    labels: str | Path | None = None,
    column: int = 1,
    out: str | Path | None = None,
    max_images: int = 1000,
    views: int = 2,
    size: int | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Measure the features of a backbone, judge them, and draw them.

    A checkpoint of ``dense-cl pretrain`` is looked at through its recipe's views, and its
    projections are measured beside the features. Other files and random weights get MoCo v2's
    views.

    Args:
        backbone: pretraining checkpoint, exported backbone, or ``random[:ARCH]``.
        data: images: a folder, a list or a COCO JSON; no labels are needed.
        annotations: COCO JSON that says which images of the folder ``data`` to use.
        labels: labelled images, a folder with a subfolder for each class or a text file with
            lines of 'path, label': kNN, tolerance and the temperature sweep.
        column: which label of a line counts, 1 for the first.
        out: folder for ``diagnostics.json``, the plots and ``diagnosis.html``; None writes nothing.
        max_images: of ``data`` and of ``labels`` each, evenly spread.
        views: Q of each image; LiDAR needs N (Q - 1) >= D.
        size: side of the views in pixels; by default the recipe's, or 224.
        seed: of random weights.
        progress: called with a line of text at each step.

    Returns:
        Plain values ready for JSON: ``spaces``, by name (``features``,
        ``<objective>_projection``) what ``examine`` returns; ``settings``; ``versions``.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    for name, value, least in (("max_images", max_images, 2), ("views", views, 2),
                               ("size", size, 16)):  # fmt: skip
        if value is not None and value < least:
            raise DenseCLError(f"{name} is {value}; it must be at least {least}.")
    source = source_from_path(data, annotations)
    if source["type"] == "WebDatasetSource":
        raise DenseCLError(
            f"data '{data}' are read as a stream; the instruments need images by index. Unpack a "
            "few hundred of them into a folder."
        )
    labelled = LabelledImages.find(labels, column).subset(max_images) if labels else None
    subject = Subject.load(backbone, size, seed)
    progress(subject.note)
    dataset = ViewDataset(source, subject.views)
    side = dataset.groups[0].size[0]
    progress(f"features of {min(max_images, len(dataset))} images, {views} views each")
    images_NQHWC, indices = sample_views(dataset, max_images, views)
    spaces = subject.encode(images_NQHWC)
    labelled_spaces, numbers = {}, None
    if labelled is not None:
        progress(f"features of {len(labelled)} labelled images")
        squares = labelled.images(side)
        pairs, _ = sample_views(ViewDataset(labelled.source, subject.views), len(labelled))
        labelled_spaces = subject.encode(torch.cat([squares[:, None], pairs], dim=1))
        (numbers,) = class_numbers(labelled.names)
    results = {}
    for name, views_NQD in spaces.items():
        progress(f"instruments on {name}")
        results[name] = examine(
            views_NQD, subject.temperatures.get(name), labelled_spaces.get(name), numbers
        )
    result = dict(
        backbone=str(backbone),
        spaces=results,
        settings=dict(
            data=str(data),
            annotations=str(annotations) if annotations else None,
            labels=str(labels) if labels else None,
            images=len(indices),
            labelled=len(labelled) if labelled else 0,
            views=views,
            size=side,
            seed=seed,
        ),  # fmt: skip
        note=subject.note,
        versions=versions(),
    )
    if out is not None:
        from dense_cl.report.diagnosis_page import write_diagnosis

        classes: tuple[str, ...] = ()
        if labelled is None:
            chosen = indices[:: -(-len(indices) // _MAP_IMAGES)]
            loaded = [central_square(dataset.source.load(i), side) for i in chosen]
            squares = torch.stack([torch.from_numpy(square) for square in loaded])
            features = subject.backbone.pooled(squares)
        else:
            step = -(-len(squares) // _MAP_IMAGES)
            squares, classes = squares[::step], labelled.names[::step]
            features = labelled_spaces["features"][::step, 0]
        progress(f"plots in {out}")
        write_diagnosis(result, Path(out), _run_of(backbone), squares.numpy(), features, classes)
    return result


def _run_of(backbone: str | Path) -> Path | None:
    """Return the scalars of the run that wrote a checkpoint or backbone, if they are there."""
    file = Path(backbone)
    folders = (file.parent, file.parent.parent) if file.is_file() else ()
    found = [folder / "vis_data/scalars.json" for folder in folders]
    return next((scalars for scalars in found if scalars.is_file()), None)
