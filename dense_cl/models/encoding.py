"""How the views of a batch go through an encoder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from dense_cl.models.batch_shuffle import BatchShuffle
from dense_cl.models.features import MaskedView, ViewFeatures
from dense_cl.models.gradient_cache import encode_in_chunks
from dense_cl.models.norm import running_statistics_kept
from dense_cl.views.batch import ViewBatch


@dataclass(frozen=True)
class Encoding:
    """What a ``Learner`` and its objectives decided.

    Attributes:
        num_stages: how many of the deepest stage maps to keep.
        class_token: the network returns a class token behind its maps.
        joint_views: online views of one size go through in one call and share their batch
            statistics (multi-crop); else each is a call of its own.
        shuffle_bn: MoCo's shuffling BN for target views.
        chunk_size: images that run at once; see ``dense_cl.models.gradient_cache``.
    """

    num_stages: int
    class_token: bool
    joint_views: bool
    shuffle_bn: bool
    chunk_size: int | None

    def online(
        self, network: nn.Module, views: Sequence[ViewBatch], wanted: Sequence[int]
    ) -> dict[int, ViewFeatures]:
        """Run the wanted views, one by one or all of a size together."""
        calls: dict[Any, list[int]] = {}
        for v in wanted:
            calls.setdefault(views[v].view_size if self.joint_views else v, []).append(v)
        encoded: dict[int, ViewFeatures] = {}
        for together in calls.values():
            images = [views[v].image for v in together]
            outputs = self._run(network, torch.cat(images) if len(images) > 1 else images[0])
            parts: Iterable[tuple[Tensor, ...]] = [outputs]
            # One view stays as it is: no way leads from a chunk of a stage to the last (Grad-CAM).
            if len(together) > 1:
                parts = zip(*(output.chunk(len(together)) for output in outputs), strict=True)
            encoded |= {
                v: self._features(views[v], part) for v, part in zip(together, parts, strict=True)
            }
        return {v: encoded[v] for v in wanted}

    def target(
        self, network: nn.Module, views: Sequence[ViewBatch], wanted: Sequence[int], step: int
    ) -> dict[int, ViewFeatures]:
        """Run the wanted views one by one, each shuffled over the processes if so decided."""
        return {v: self._target(network, views[v], step * len(views) + v) for v in wanted}

    @torch.no_grad()
    def masked(
        self,
        networks: Mapping[str, nn.Module | None],
        views: Sequence[ViewBatch],
        wanted: Sequence[MaskedView],
        step: int,
    ) -> dict[MaskedView, ViewFeatures]:
        """Run the salient pixels of views, without gradients, by the encoders that are asked for.

        The normalised image is multiplied by its saliency, as in salesforce/CAST
        ``moco/datasets.py``, so the rest has the mean colour. An image in which nothing is salient
        goes through as it is: a blank one would change the batch statistics of the others. Batch
        statistics are those of the masked images, as in that code; running statistics, which an
        export takes with it, never hear of them. The target encoder shuffles as it does the view.

        Args:
            networks: the encoders by name.
            views: with saliency where it is wanted.
            wanted: names of encoders and indices of views.
            step: optimiser steps taken so far.
        """
        encoded = {}
        for by, v in wanted:
            network, salient_BHW = networks[by], views[v].saliency
            assert network is not None and salient_BHW is not None
            nothing_B = ~salient_BHW.flatten(1).any(dim=1)
            shown_BHW = salient_BHW | nothing_B[:, None, None]
            view = replace(views[v], image=views[v].image * shown_BHW[:, None])
            with running_statistics_kept(network):
                encoded[by, v] = (
                    self._target(network, view, step * len(views) + v)
                    if by == "target"
                    else self._features(view, self._run(network, view.image))
                )
        return encoded

    def _target(self, network: nn.Module, view: ViewBatch, seed: int) -> ViewFeatures:
        if not self.shuffle_bn:
            return self._features(view, self._run(network, view.image))
        shuffle = BatchShuffle.draw(len(view.image), seed, view.image.device)
        outputs = self._run(network, shuffle.shuffle(view.image))
        return self._features(view, tuple(shuffle.unshuffle(output) for output in outputs))

    def _run(self, network: nn.Module, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the deepest stage maps, and the class token behind them if there is one."""
        options = {"with_token": True} if self.class_token else {}
        kept = self.num_stages + len(options)

        def encode(images: Tensor) -> tuple[Tensor, ...]:
            return tuple(network(images, **options))[-kept:]

        if self.chunk_size is None:
            return encode(image_BCHW)
        return encode_in_chunks(network, encode, image_BCHW, self.chunk_size)

    def _features(self, view: ViewBatch, outputs: tuple[Tensor, ...]) -> ViewFeatures:
        if self.class_token:
            return ViewFeatures(outputs[:-1], view, outputs[-1])
        return ViewFeatures(outputs, view)
