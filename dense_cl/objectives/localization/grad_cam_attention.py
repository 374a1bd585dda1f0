"""CAST's attention: a query is recognised by what is salient in it."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from dense_cl.errors import DenseCLError, nearest
from dense_cl.losses.attention import attention_loss, saliency_on_cells
from dense_cl.models.distributed import rescale_mean
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.grad_cam import score_grad_cam, stage_number
from dense_cl.models.norm import running_statistics_kept
from dense_cl.objectives.base import Objective
from dense_cl.objectives.pairs import PairObjective
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class GradCAMAttention(Objective):
    """Grad-CAM of the score of a pair whose key is masked, against the saliency of the query.

    Selvaraju et al., arXiv 2012.04630; salesforce/CAST ``grad_cam.py``, ``moco/builder.py`` and
    ``main_cast.py``. The score is the cosine by which another objective of the list compares view 0
    with view 1; of view 1 only the salient pixels are shown, to the encoder that makes that
    objective's keys (its target, else the online encoder without gradients). The map is the
    gradient of that score: the loss differentiates a second time, through what lies behind the
    layer and nothing else. docs/cast.md lists what the authors' code does differently.

    Pairs whose view 0 or view 1 shows nothing salient have no say; ``counted`` is the share of the
    others. Batch norm behind the layer normalises as in the other objective's own pass, and is not
    recorded a second time. The head and the map are computed in float32 under autocast; of a layer
    before the last the gradient comes in the type of the backbone, in which float16 may lose small
    values: bfloat16 does not.

    Args:
        in_channels: unused, part of the interface.
        of: name of the objective whose score it explains; None: the first that has one.
        layer: name or number of the stage map, see ``dense_cl.models.grad_cam.stage_number``; the
            last one is the paper's 'layer4'.
        released_code: map and loss of the authors' code, see
            ``dense_cl.losses.attention.attention_loss``.
    """

    online_views = (0,)
    saliency = True

    def __init__(
        self,
        in_channels: tuple[int, ...],
        of: str | None = None,
        layer: str | int = -1,
        released_code: bool = False,
    ) -> None:
        super().__init__()
        self.of, self.layer, self.released_code = of, layer, released_code
        self._explained: tuple[PairObjective, ...] = ()

    def bind(self, backbone: nn.Module, objectives: Mapping[str, Objective]) -> None:
        """Find the objective and the layer.

        Raises:
            DenseCLError: no such objective, it has no score of a pair, or no such layer.
        """
        scored = {name: o for name, o in objectives.items() if isinstance(o, PairObjective)}
        name = self.of or next(iter(scored), None)
        if name is not None and name not in objectives:
            raise DenseCLError(
                f"GradCAMAttention: no objective is called '{name}'.{nearest(name, scored)}"
            )
        if name not in scored:
            others = [f"{n} ({type(o).__name__})" for n, o in objectives.items() if o is not self]
            raise DenseCLError(
                "GradCAMAttention needs the score of a pair, the cosine of a query and a key. "
                f"{name or ', '.join(others) or 'The list'} has none: such losses are of a whole"
                " batch, of clusters or of places. Put InfoNCE, SimCLR, MoCoV3, BYOL or SimSiam"
                " into the list."
            )
        explained = scored[name]
        self._explained = (explained,)  # a tuple, so that nn.Module does not register it
        self.stage = stage_number(backbone, self.layer)
        self.num_stages = -self.stage
        self.masked_views = (("target" if explained.target_views else "online", 1),)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.attention.attention_loss``."""
        (explained,) = self._explained
        query = _precise(features.online[0])
        key = _precise(features.masked[self.masked_views[0]])
        map_BCHW = query.stages[self.stage]
        with (
            torch.autocast(map_BCHW.device.type, enabled=False),
            running_statistics_kept(explained),
        ):
            signed_BHW = score_grad_cam(explained.score(query, key), map_BCHW, create_graph=True)
        assert query.view.saliency is not None and key.view.saliency is not None
        grid = (int(map_BCHW.shape[2]), int(map_BCHW.shape[3]))
        terms = attention_loss(
            signed_BHW,
            saliency_on_cells(query.view.saliency, grid, self.released_code),
            key.view.saliency.flatten(1).any(dim=1),
            self.released_code,
        )
        loss = rescale_mean(terms.loss, terms.counted_B.sum())
        return ObjectiveOutput(loss, {"counted": terms.counted_B.to(loss.dtype).mean()})


def _precise(view: ViewFeatures) -> ViewFeatures:
    """Return the features with what an image's vector is made of in float32 at least."""
    last = view.last.to(torch.promote_types(view.last.dtype, torch.float32))
    token = None if view.token is None else view.token.to(last.dtype)
    return replace(view, stages=(*view.stages[:-1], last), token=token)
