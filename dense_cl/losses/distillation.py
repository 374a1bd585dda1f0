"""Cross entropy with a teacher's softened predictions."""

from typing import NamedTuple

import torch
from torch import Tensor


class DistillationTerms(NamedTuple):
    """The loss, and what it is made of, detached.

    Attributes:
        loss: scalar.
        divergence: of student from teacher; the loss less the teacher's entropy, 0 at best.
        agreement: share of images with the same most likely class.
    """

    loss: Tensor
    divergence: Tensor
    agreement: Tensor


def distillation(student_NK: Tensor, teacher_NK: Tensor, temperature: float) -> DistillationTerms:
    r"""Return :math:`-\frac{1}{N} \sum_i \sum_y P^T(y | x_i) \log P^S(y | x_i)`.

    :math:`P(y | x) = \mathrm{softmax}(f(x) / \tau)_y` for both (Chen et al., arXiv 2006.10029,
    section 2). The authors' notebook, google-research/simclr
    ``colabs/distillation_self_training.ipynb``, also multiplies by :math:`\tau^2`; here that is
    the objective's ``weight``.

    Args:
        student_NK: (N, K) logits.
        teacher_NK: (N, K) logits; no gradient goes there.
        temperature: τ > 0.
    """
    dtype = torch.promote_types(student_NK.dtype, torch.float32)
    student_NK, teacher_NK = student_NK.to(dtype), teacher_NK.to(dtype)
    log_student = (student_NK / temperature).log_softmax(dim=1)
    log_teacher = (teacher_NK.detach() / temperature).log_softmax(dim=1)
    teacher = log_teacher.exp()
    loss = -(teacher * log_student).sum(dim=1).mean()
    entropy = -(teacher * log_teacher).sum(dim=1).mean()
    agreement = (student_NK.argmax(dim=1) == teacher_NK.argmax(dim=1)).to(loss.dtype).mean()
    return DistillationTerms(loss, (loss - entropy).detach(), agreement)
