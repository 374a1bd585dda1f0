"""The interface of every objective: its heads, its bank and its loss term."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models.features import FeatureBundle, MaskedView, ObjectiveOutput, ViewFeatures


class Objective(nn.Module):
    """One loss term on the features of the shared encoders.

    A subclass owns whatever the method adds (heads, EMA copies of its heads in
    ``dense_cl.models.target.TargetNetwork``, memory banks) and computes an unweighted loss.
    The ``Learner`` multiplies by ``weight`` and calls ``after_step`` once the iteration is done.
    Methods that need the whole data set also have ``prepare``, ``observe`` and ``before_epoch``,
    called in this order.

    Attributes:
        name: of its terms in the log; by default the class's, ``DenseInfoNCE`` as
            ``dense_info_nce``.
        online_views: view indices needed from the encoder that receives gradients.
        target_views: view indices needed from the EMA encoder.
        masked_views: views of which an encoder has to see the salient pixels alone as well.
        joint_views: views of one size go through the online backbone in one call, and share their
            BatchNorm statistics. One objective of a list that wants it decides for all.
        observed_views: view indices of the whole data set to be shown to ``observe`` before the
            first step.
        num_negatives: size of the queue that a query is told from, 0 for none; ln(1 + it) is the
            value of a term that has learnt nothing.
        num_stages: how many of the deepest stage maps it reads; others need not travel between
            processes.
        regions: field of ``dense_cl.regions.regions.RegionBatch`` that it reads, 'label_map' or
            'boxes'; None if it looks at no regions.
        saliency: whether it looks at the salient pixels of its views (``ViewBatch.saliency``).
        detector_parts: modules that a detector can start from, by their name here: their name in
            MMDetection's detector.
        matches_projections: whether ``matched`` depends on what its head has learnt.
        other_image_views: those of its views that have to show another image than view 0 does
            (``ViewBatch.other_image``). No other view of it may, so geometry and multi-crop terms
            never match places of different images.
    """

    name: str | None = None
    online_views: tuple[int, ...] = (0,)
    target_views: tuple[int, ...] = ()
    masked_views: tuple[MaskedView, ...] = ()
    joint_views: bool = False
    observed_views: tuple[int, ...] = ()
    num_negatives: int = 0
    num_stages: int = 1
    regions: str | None = None
    saliency: bool = False
    detector_parts: Mapping[str, str] = MappingProxyType({})
    matches_projections: bool = False
    other_image_views: tuple[int, ...] = ()

    @property
    def looked_at(self) -> tuple[int, ...]:
        """All views that it looks at in a step, in whatever way."""
        masked = {view for _, view in self.masked_views}
        return tuple(sorted({*self.online_views, *self.target_views, *masked}))

    def bind(self, backbone: nn.Module, objectives: "Mapping[str, Objective]") -> None:
        """Get to know the online backbone and all objectives of the list by their names.

        Called once, when all are built. What is kept of them must not be registered as part of
        this module.
        """

    def prepare(self, num_images: int | None, seed: int) -> None:
        """Learn about the run before any state is restored.

        Args:
            num_images: of the data set; None for a stream.
            seed: of the run, the same in all processes.
        """

    def observe(self, features: FeatureBundle) -> None:
        """See a batch of the data set before training, without gradients; once per batch."""

    def before_epoch(self, epoch: int) -> None:
        """Do what an epoch begins with; not called again when a run resumes within it."""

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the unweighted loss and diagnostics. Must leave no trace in the banks."""
        raise NotImplementedError

    def matched(self, features: ViewFeatures) -> ViewFeatures:
        """Return what its correspondence providers see of a view's features."""
        return features

    def after_step(self) -> None:
        """Commit what this iteration leaves behind, such as new keys for a memory bank."""


def check_stage(owner: str, stage: int, in_channels: tuple[int, ...]) -> int:
    """Return how many of the deepest stages are to be kept for ``stages[stage]`` to exist.

    Raises:
        DenseCLError: not a stage counted from the end.
    """
    if not -len(in_channels) <= stage < 0:
        raise DenseCLError(
            f"{owner}: stage={stage}; stages are counted from the end, and the backbone returns"
            f" {len(in_channels)}: give -1 for the last to -{len(in_channels)} for the first."
        )
    return -stage
