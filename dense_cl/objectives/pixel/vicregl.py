"""VICRegL: VICReg of locations matched by their features and by their place in the image."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.losses.dense_info_nce import gather_locations
from dense_cl.losses.vicreg import VICRegTerms
from dense_cl.losses.vicreg_local import vicreg_local
from dense_cl.models.correspondence import KBestFeatures, KBestLocations
from dense_cl.models.distributed import concat_all_gather, gather_sizes, gather_with_gradient
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.objectives.base import Objective, check_stage
from dense_cl.registry import HEADS, OBJECTIVES


class _Matched(NamedTuple):
    first_BKD: Tensor
    second_BKD: Tensor
    counted_BK: Tensor


@OBJECTIVES.register_module()
class VICRegL(Objective):
    """The local criterion of VICRegL; the global one is ``VICReg`` in the same list.

    Bardes et al., arXiv 2210.01571; facebookresearch/VICRegL ``main_vicregl.py``. With α = 0.75 the
    method is ``VICReg`` with ``weight=0.75`` and ``covariance_weight=0.5`` (this code averages the
    covariance over the views, VICReg's sums it), and ``VICRegL`` with ``weight=0.25``.

    For each of the first two views and every other view, each location is matched with the nearest
    projection of the other view, and with the nearest place of the source image; the closest pairs
    are kept. Both directions weigh one half, features and places add up, pairs of views are
    averaged. Views without overlap have no match by place, and nothing of them enters these terms.

    Args:
        in_channels: channels of the backbone's stage maps.
        head: config of a dense projection head (HEADS registry).
        feature_matches: pairs kept from the first to the second view of a pair, and back; -1 for
            all locations, as the released default (``--l2_all_matches 1``); None for no matching
            by features.
        location_matches: the same by place.
        ignore_flips: places as the released default has them; see ``KBestLocations``.
        any_distance: places that both views need not show, as released; see ``KBestLocations``.
        num_views: views per image; the first two are the large ones.
        invariance_weight, variance_weight, covariance_weight: λ, μ and ν of VICReg.
        stage: which stage map the head sees, counted from the end: -1 for the last.

    Raises:
        DenseCLError: nothing to match by, fewer than two views, or no such stage.
    """

    name = "vicregl"
    matches_projections = True

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        feature_matches: tuple[int, int] | None = (20, 4),
        location_matches: tuple[int, int] | None = (20, 4),
        ignore_flips: bool = False,
        any_distance: bool = False,
        num_views: int = 2,
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        stage: int = -1,
    ) -> None:
        super().__init__()
        check_stage("VICRegL", stage, in_channels)
        if num_views < 2 or not (feature_matches or location_matches):
            raise DenseCLError(
                f"VICRegL: num_views={num_views}, feature_matches={feature_matches},"
                f" location_matches={location_matches}; it needs two views and something to match."
            )
        self.online_views = tuple(range(num_views))
        self.stage, self.num_stages = stage, -stage
        self.weights = invariance_weight, variance_weight, covariance_weight
        self.head: nn.Module = HEADS.build(dict(head, in_channels=in_channels[stage]))
        # Of each kind of match one provider for the way there and one for the way back.
        self.matchers: list[tuple[KBestFeatures | KBestLocations, ...]] = []
        if feature_matches:
            self.matchers.append(tuple(KBestFeatures(k) for k in feature_matches))
        if location_matches:
            self.matchers.append(
                tuple(KBestLocations(k, ignore_flips, any_distance) for k in location_matches)
            )
        # Registered as well, so that `modules()` finds them.
        self.providers = nn.ModuleList(provider for pair in self.matchers for provider in pair)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the weighted sum; see ``dense_cl.losses.vicreg_local``."""
        projected = [self.matched(features.online[v]) for v in self.online_views]
        pairs = [(a, b) for a in (0, 1) for b in self.online_views if b != a]
        matches = [
            _match(matcher, projected[start], projected[end])
            for a, b in pairs
            for there, back in self.matchers
            for matcher, start, end in ((there, a, b), (back, b, a))
        ]
        terms = torch.stack([torch.stack(vicreg_local(*match)) for match in _gather(matches)])
        # Every kind of match adds half of the way there and half of the way back.
        summed = VICRegTerms(*(terms.mean(dim=0) * len(self.matchers)))
        loss = (torch.stack(summed) * terms.new_tensor(self.weights)).sum()
        diagnostics = {name: term.detach() for name, term in summed._asdict().items()}
        counted = torch.cat([match.counted_BK for match in matches], dim=1)
        return ObjectiveOutput(loss, diagnostics | {"matched": counted.to(loss.dtype).mean()})

    def matched(self, features: ViewFeatures) -> ViewFeatures:
        """Return the projections, which are matched and compared, in the place of the stages."""
        return replace(features, stages=(self.head(features.stages[self.stage]),))


def _match(
    provider: KBestFeatures | KBestLocations, query: ViewFeatures, key: ViewFeatures
) -> _Matched:
    """Pick the locations that a provider keeps, in order, and what it matches them with."""
    query_map, key_map = query.last, key.last
    match = provider(query, key, query_map.shape[2:], key_map.shape[2:])
    cells = match.valid_BS.shape[1]
    count = cells if provider.count == -1 else min(provider.count, cells)
    # Valid ones first, otherwise as they were. An image with fewer is filled up, not counted.
    kept_BK = (~match.valid_BS).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
    return _Matched(
        gather_locations(query_map.flatten(2), kept_BK).mT,
        gather_locations(key_map.flatten(2), match.indices_BS.gather(1, kept_BK)).mT,
        match.valid_BS.gather(1, kept_BK),
    )


def _gather(matches: list[_Matched]) -> list[_Matched]:
    """Put the matches of all processes together, all kinds in one exchange."""
    counts = [match.counted_BK.shape[1] for match in matches]
    width = matches[0].first_BKD.shape[2]
    sizes = gather_sizes(len(matches[0].counted_BK), matches[0].counted_BK.device)
    pairs_BKD = [torch.cat([match.first_BKD, match.second_BKD], dim=2) for match in matches]
    everyone_NKD = gather_with_gradient(torch.cat(pairs_BKD, dim=1), sizes)
    counted_NK = concat_all_gather(torch.cat([match.counted_BK for match in matches], 1), sizes)
    return [
        _Matched(pair_NKD[..., :width], pair_NKD[..., width:], counted)
        for pair_NKD, counted in zip(
            everyone_NKD.split(counts, dim=1), counted_NK.split(counts, dim=1), strict=True
        )
    ]
