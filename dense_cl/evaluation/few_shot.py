"""Few-shot classification: prototypical networks on frozen features, over many episodes.

The protocol of "How Well Do Self-Supervised Models Transfer?" (arXiv 2011.13377), after
``few_shot.py`` of linusericsson/ssl-transfer: 5 classes, 5 images each to learn from, 15 to score,
600 episodes. Their ``ResNetBackbone`` is switched to evaluation mode by the tester, as here.
"""

from pathlib import Path
from typing import Any

import torch

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import check_distinct
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.labelled_images import LabelledImages, class_numbers
from dense_cl.evaluation.pictures import Pictures
from dense_cl.evaluation.prototypes import episode_hits, mean_and_interval, sample_episodes
from dense_cl.evaluation.results import make_result

EPISODES, WAY, SHOT, QUERY = 600, 5, 5, 15


def evaluate_few_shot(
    backbone: str | Path | torch.nn.Module,
    images: LabelledImages,
    way: int = WAY,
    shot: int = SHOT,
    query: int = QUERY,
    episodes: int = EPISODES,
    size: int = 224,
    seed: int = 0,
    draw_seed: int = 0,
    extraction: Extraction | None = None,
) -> dict[str, Any]:
    """Score how well the mean of a few vectors tells the images of one class from those of others.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, ``FILE:ARCH``, or a module.
        images: with one class each; all of them are drawn from.
        way: classes of an episode.
        shot: images of each to learn from.
        query: images of each to score.
        episodes: number of draws.
        size: side of the images, in pixels: stretched to 1.15 of it, and the centre cut out.
        seed: of the backbone: of its pretraining, or its random weights.
        draw_seed: of the episodes, which are the same for all backbones.
        extraction: cache, workers and progress.

    Returns:
        A result (see ``results``) with ``scores`` ``accuracy``, and ``interval``: half the width of
        its 95 % interval over episodes. The records are of episodes.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    if min(way, episodes) < 2 or min(shot, query) < 1:
        raise DenseCLError(
            f"{episodes} episodes, {way}-way {shot}-shot with {query} queries: two episodes, for an"
            " interval, and two ways, and one of each other are needed."
        )
    images.check_files()
    check_distinct(images.files())
    (labels,) = class_numbers(images.names)
    # Before the features are computed: too few images fail here.
    drawn = sample_episodes(labels, way, shot, query, episodes, draw_seed)
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction()
    pictures = Pictures(images.source, "stretched", (size, size))
    hits = episode_hits(options.pooled(frozen, pictures, "labelled"), drawn, shot)
    values = hits.double().mean(dim=(1, 2))
    accuracy, half = mean_and_interval(values)
    return make_result(
        "few-shot",
        name,
        seed,
        {"accuracy": accuracy},
        [{"image": f"episode {e}", "accuracy": value} for e, value in enumerate(values.tolist())],
        {
            "way": way,
            "shot": shot,
            "query": query,
            "episodes": episodes,
            "draw_seed": draw_seed,
            "size": size,
            "images": len(images),
            "data": images.identity(),
            "classes": len(set(images.names)),
        },
        interval=half,
        **frozen.facts(),
    )
