"""Distillation: learn a fine-tuned teacher's predictions on unlabelled images."""

from torch import nn

from dense_cl.errors import DenseCLError, check_positive
from dense_cl.losses.distillation import distillation
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.models.heads import MLPHead
from dense_cl.objectives.base import Objective
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class Distillation(Objective):
    """Cross entropy of a linear classifier on the backbone with a frozen teacher's predictions.

    Chen et al., arXiv 2006.10029 (SimCLR v2), section 2, the third step: no label is used. View 0
    goes to student and teacher alike, normalised as the recipe says, which must be how the
    teacher was trained. The teacher runs in evaluation mode; checkpoints hold it, so that a
    resumed run goes on with the same one. The student's classifier is ``head``, a one-layer
    ``MLPHead``: ``dense-cl export --head-layers 1`` writes it with the backbone.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        teacher: file of a classifier, written by ``dense_cl.transfer.encoder.save_encoder``.
        temperature: τ > 0.

    Raises:
        DenseCLError: ``teacher`` cannot be read, or is a backbone alone.
    """

    online_views = (0,)

    def __init__(
        self, in_channels: tuple[int, ...], teacher: str, temperature: float = 1.0
    ) -> None:
        # Imported only here: objectives otherwise know nothing of the hand-off.
        from dense_cl.transfer.encoder import load_encoder

        super().__init__()
        check_positive(type(self).__name__, temperature=temperature)
        self.temperature = temperature
        encoder = load_encoder(teacher)
        if not len(encoder.head):
            raise DenseCLError(f"Distillation: '{teacher}' is a backbone without a classifier.")
        self.teacher: nn.Module = encoder.requires_grad_(False).eval()
        self.head = MLPHead(in_channels[-1], out_channels=encoder.out_channels, num_layers=1)

    def train(self, mode: bool = True) -> "Distillation":
        """Switch the student's part; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.distillation``."""
        student = features.online[0]
        teacher_NK = self.teacher(student.view.image)
        terms = distillation(self.head(student.pooled), teacher_NK, self.temperature)
        return ObjectiveOutput(
            terms.loss, {"divergence": terms.divergence, "agreement": terms.agreement}
        )
