"""The interface of every objective: its heads, its bank and its loss term."""

from torch import nn

from dense_cl.models.features import FeatureBundle, ObjectiveOutput


class Objective(nn.Module):
    """One loss term on the features of the shared encoders.

    A subclass owns whatever the method adds (heads, EMA copies of its heads in
    ``dense_cl.models.target.TargetNetwork``, memory banks) and computes an unweighted loss.
    The ``Learner`` multiplies by ``weight`` and calls ``after_step`` once the iteration is done.

    Attributes:
        name: of its terms in the log; by default the class's, ``DenseInfoNCE`` as
            ``dense_info_nce``.
        online_views: view indices needed from the encoder that receives gradients.
        target_views: view indices needed from the EMA encoder.
        num_stages: how many of the deepest stage maps it reads; others need not travel between
            processes.
    """

    name: str | None = None
    online_views: tuple[int, ...] = (0,)
    target_views: tuple[int, ...] = ()
    num_stages: int = 1

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the unweighted loss and diagnostics. Must leave no trace in the banks."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Commit what this iteration leaves behind, such as new keys for a memory bank."""
