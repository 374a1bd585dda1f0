"""DeepCluster-v2: predict the cluster that k-means found for an image at the epoch's beginning."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.losses.cluster_prediction import IGNORED, cluster_prediction
from dense_cl.losses.spherical_kmeans import spherical_kmeans
from dense_cl.models.distributed import concat_all_gather
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.objectives.clustering import ClusterObjective, similarities
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class DeepClusterV2(ClusterObjective):
    """Spherical k-means over the embeddings of the last epoch gives the classes of this one.

    Caron et al., arXiv 2006.09882, appendix; facebookresearch/swav ``main_deepclusterv2.py``.
    Before training the memory is filled by one pass over the data, as there. Head h clusters the
    memory of assigning view h mod A; its centroids are its classifier and do not learn.
    Differences from that code: the memory has a row for every image and all of it in every
    process (A·M·D floats: 1.3 GB for ImageNet with two views), so an image that an epoch leaves
    out keeps its older embedding, and k-means needs no exchange. Images never seen have
    no cluster. The start of k-means depends on seed, epoch and head alone. All of this is state
    of the model, so a run resumes exactly, within an epoch as well.

    Args:
        in_channels, head, temperature, num_views, num_assign_views: see ``ClusterObjective``.
        num_clusters: of every head.
        kmeans_iterations: moves of the centroids at the beginning of an epoch.

    Raises:
        DenseCLError: no head, or one with fewer than two clusters.

    Attributes:
        memory: (A, M, D) unit embeddings of the M images, zero where none is known.
        assignments: (H, M) clusters of this epoch, ``IGNORED`` where there is none.
        centroids: (sum of ``num_clusters``, D), head after head.
    """

    name = "deepcluster_v2"
    memory: Tensor
    assignments: Tensor
    centroids: Tensor

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        num_clusters: Sequence[int] = (3000, 3000, 3000),
        temperature: float = 0.1,
        num_views: int = 8,
        num_assign_views: int = 2,
        kmeans_iterations: int = 10,
    ) -> None:
        super().__init__(in_channels, head, temperature, num_views, num_assign_views)
        if not num_clusters or min(num_clusters) < 2:
            raise DenseCLError(
                f"DeepClusterV2: num_clusters={list(num_clusters)} gives the clusters of every"
                " head; at least one head, and two clusters each."
            )
        self.num_clusters = tuple(num_clusters)
        self.kmeans_iterations = kmeans_iterations
        self.observed_views = self.online_views[:num_assign_views]
        centroids = torch.zeros(sum(self.num_clusters), self.head.out_channels)
        self.register_buffer("centroids", centroids)
        self.register_buffer("memory", centroids.new_zeros(num_assign_views, 0, 0))
        self.register_buffer("assignments", torch.zeros(len(num_clusters), 0, dtype=torch.int64))
        self._new: tuple[Tensor, Tensor] | None = None

    def prepare(self, num_images: int | None, seed: int) -> None:
        """Make room for the embeddings of every image.

        Raises:
            DenseCLError: a stream, or more clusters than images.
        """
        if num_images is None:
            raise DenseCLError(
                "DeepClusterV2 remembers every image by its position, which a stream does not"
                " have. Use a source that is read by index, or SwAV."
            )
        if max(self.num_clusters) > num_images:
            raise DenseCLError(
                f"DeepClusterV2: num_clusters={list(self.num_clusters)}, but the data set has"
                f" {num_images} images. Lower num_clusters."
            )
        self.seed = seed
        channels = self.centroids.shape[1]
        self.memory = self.centroids.new_zeros(self.num_assign_views, num_images, channels)
        self.assignments = self.assignments.new_full((len(self.num_clusters), num_images), IGNORED)

    def observe(self, features: FeatureBundle) -> None:
        """Remember the embeddings of a batch."""
        self._remember(self._index(features), self.embed(features, self.observed_views))

    def before_epoch(self, epoch: int) -> None:
        """Cluster the memory.

        Raises:
            DenseCLError: fewer images have been seen than there are clusters.
        """
        seen_M = self.memory[0].any(dim=1)
        images = seen_M.nonzero().squeeze(1)
        if len(images) < max(self.num_clusters):
            raise DenseCLError(
                f"DeepClusterV2: only {len(images)} images of the data set could be read, fewer"
                f" than num_clusters={list(self.num_clusters)}. Lower num_clusters."
            )
        for head, centroids_KD in enumerate(self.centroids.split(self.num_clusters)):
            points_ND = self.memory[head % self.num_assign_views, images]
            order = np.random.default_rng((self.seed, epoch, head)).permutation(len(points_ND))
            start_KD = points_ND[torch.from_numpy(order[: len(centroids_KD)])]
            clusters_N, moved_KD = spherical_kmeans(points_ND, start_KD, self.kmeans_iterations)
            centroids_KD.copy_(moved_KD)
            self.assignments[head, images] = clusters_N

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.cluster_prediction``."""
        index_B = self._index(features)
        embedding_VBD = self.embed(features, self.online_views)
        scores_VBK = similarities(embedding_VBD, self.centroids)
        targets_HB = self.assignments[:, index_B]
        scores = scores_VBK.split(self.num_clusters, dim=2)
        loss = cluster_prediction(scores, targets_HB, self.temperature)
        self._new = index_B, embedding_VBD[: self.num_assign_views].detach()
        hits = [s.argmax(dim=2) == t for s, t in zip(scores, targets_HB, strict=True)]
        accuracy = torch.stack(hits).to(loss.dtype).mean()
        return ObjectiveOutput(loss, {"accuracy": accuracy})

    def _index(self, features: FeatureBundle) -> Tensor:
        if features.index is None or self.memory.shape[1] == 0:
            raise DenseCLError(
                "DeepClusterV2 has to know the data set: call Learner.prepare(num_images, seed)"
                " before anything else and give every batch its index."
            )
        return features.index

    def after_step(self) -> None:
        """Remember the embeddings of the last pass."""
        if self._new is not None:
            self._remember(*self._new)
            self._new = None

    @torch.no_grad()
    def _remember(self, index_B: Tensor, embedding_ABD: Tensor) -> None:
        index_N = concat_all_gather(index_B)
        embedding_NAD = concat_all_gather(embedding_ABD.transpose(0, 1))
        self.memory[:, index_N] = embedding_NAD.transpose(0, 1).to(self.memory.dtype)
