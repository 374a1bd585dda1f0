"""The local criterion on maps given from outside: the authors' VICRegL step."""

import pytest
import torch

from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.objectives import VICReg, VICRegL
from dense_cl.views.batch import ViewBatch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
NO_HEAD = {"type": "DenseMLPHead", "num_layers": 0}


def view_of_grid(locations_yx):
    """The view, of one pixel a cell, whose cell centres are these but for some jitter."""
    batch, rows, columns, _ = locations_yx.shape
    centres = torch.tensor(locations_yx).flip(-1)
    across = (centres[:, 0, -1] - centres[:, 0, 0]) / (columns - 1)
    down = (centres[:, -1, 0] - centres[:, 0, 0]) / (rows - 1)
    start = centres[:, 0, 0] - (across + down) / 2
    matrix = torch.stack([across, down, start], dim=2)
    return ViewBatch(torch.empty(0), matrix, torch.full((batch, 2), 10**6), (rows, columns))


def as_map(maps_BSD, grid):
    return maps_BSD.mT.unflatten(2, grid)


@pytest.mark.parametrize("every_feature", [0, 1])
@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case, every_feature):
    data = golden(f"vicregl_loss_{case}")
    num_views, counts = int(data["num_views"]), data["num_matches"].tolist()
    maps = [torch.tensor(data[f"maps{v}"], requires_grad=True) for v in range(num_views)]
    views = [view_of_grid(data[f"locations{v}_yx"]) for v in range(num_views)]
    online = {
        v: ViewFeatures((as_map(m, view.view_size),), view)
        for v, (m, view) in enumerate(zip(maps, views, strict=True))
    }
    weights = {
        f"{name}_weight": float(data[f"{name[:3]}_coeff"])
        for name in ("invariance", "variance", "covariance")
    }
    objective = VICRegL(
        (maps[0].shape[2],),
        NO_HEAD,
        feature_matches=(-1, -1) if every_feature else counts,
        location_matches=counts,
        any_distance=True,
        num_views=num_views,
        **weights,
    )
    places = {
        id(view): torch.tensor(data[f"locations{v}_yx"]).flip(-1).flatten(1, 2)
        for v, view in enumerate(views)
    }
    for matcher in objective.matchers[1]:  # those by location; the file's are jittered
        matcher.locate = lambda view, _grid: places[id(view)]
    output = objective(FeatureBundle(online, {}))
    output.loss.backward()
    suffix = f"fastvcreg0_l2all{every_feature}"
    torch.testing.assert_close(
        output.loss.item(), float(data[f"expected_local_loss_{suffix}"]), **CLOSE
    )
    for weight, (name, term) in zip(objective.weights, output.diagnostics.items(), strict=False):
        expected = float(data[f"expected_local_{name}_{suffix}"])
        torch.testing.assert_close(weight * term.item(), expected, **CLOSE)
    for v in range(num_views):
        expected = torch.tensor(data[f"expected_grad_maps{v}_{suffix}"])
        torch.testing.assert_close(maps[v].grad, expected, **CLOSE)
    if not every_feature:
        return
    # With VICReg in the same list, the method as a whole.
    embeddings = {
        v: ViewFeatures((torch.tensor(data[f"embedding{v}"])[..., None, None],), view)
        for v, view in enumerate(views)
    }
    width = embeddings[0].last.shape[1]
    weights["covariance_weight"] /= 2
    whole = VICReg((width,), {"type": "MLPHead", "num_layers": 0}, num_views=num_views, **weights)
    alpha = float(data["alpha"])
    total = alpha * whole(FeatureBundle(embeddings, {})).loss + (1 - alpha) * output.loss
    torch.testing.assert_close(total.item(), float(data[f"expected_total_{suffix}"]), **CLOSE)
