"""Layers on vectors as plain data, so that a file can say what its tensors belong to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dense_cl.errors import DenseCLError
from dense_cl.models.standardized import StandardizedLinear


def describe_layers(layers: Iterable[nn.Module]) -> list[dict[str, Any]]:
    """Return plain descriptions of layers, for ``build_layers``.

    Raises:
        DenseCLError: a layer that is not linear, batch norm, group norm, ReLU or GELU.
    """
    described = []
    for layer in layers:
        if isinstance(layer, nn.Linear):  # of its own kind: it may standardise its weights
            shape = dict(in_features=layer.in_features, out_features=layer.out_features)
            described.append(dict(type=type(layer).__name__, **shape, bias=layer.bias is not None))
        elif isinstance(layer, _BatchNorm):  # synchronised or not
            described.append(
                dict(type="BatchNorm1d", num_features=layer.num_features, affine=layer.affine)
            )
        elif isinstance(layer, nn.GroupNorm):
            shape = dict(num_groups=layer.num_groups, num_channels=layer.num_channels)
            described.append(dict(type="GroupNorm", **shape, affine=layer.affine))
        elif isinstance(layer, nn.ReLU | nn.GELU):
            described.append(dict(type=type(layer).__name__))
        else:
            raise DenseCLError(
                f"a {type(layer).__name__} behind a backbone cannot be described in a weights file;"
                " use linear layers, batch norm, group norm, ReLU and GELU."
            )
    return described


def build_layers(described: Sequence[Mapping[str, Any]], file: str) -> nn.Sequential:
    """Build the layers that ``describe_layers`` described, with new weights.

    Args:
        described: one mapping per layer.
        file: where they are described, for messages.

    Raises:
        DenseCLError: not such a description.
    """
    known = {
        kind.__name__: kind
        for kind in (
            nn.Linear,
            StandardizedLinear,
            nn.BatchNorm1d,
            nn.GroupNorm,
            nn.ReLU,
            nn.GELU,
        )
    }
    try:
        return nn.Sequential(
            *(known[d["type"]](**{k: v for k, v in d.items() if k != "type"}) for d in described)
        )
    except (KeyError, TypeError) as error:
        raise DenseCLError(
            f"'{file}' describes layers behind its backbone that cannot be built: {error!r}."
        ) from None


def first_layers(layers: nn.Sequential, count: int) -> nn.Sequential:
    """Return the first ``count`` linear layers, each with the norm and activation that follow it.

    Raises:
        DenseCLError: there are not as many.
    """
    starts = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    if not 1 <= count <= len(starts):
        raise DenseCLError(f"--head-layers {count}: the projection head has {len(starts)} layers.")
    return nn.Sequential(*list(layers)[: [*starts, len(layers)][count]])
