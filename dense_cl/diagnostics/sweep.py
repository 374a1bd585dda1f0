"""The uniformity-tolerance dilemma: what each temperature would make of these features."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.diagnostics.alignment_uniformity import alignment, uniformity
from dense_cl.diagnostics.tolerance import tolerance
from dense_cl.losses.in_batch_contrast import nt_xent

# Those of the paper's table 1, and between. Below, so small a projection of so few images has
# told them apart, and stops spreading, before it is uniform.
TEMPERATURES = (0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_CHANNELS, _STEPS, _LEARNING_RATE = 32, 60, 1e-2


def temperature_sweep(
    first_ND: Tensor,
    second_ND: Tensor,
    labels_N: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    steps: int = _STEPS,
) -> dict[str, list[float]]:
    """Fit a linear projection with NT-Xent at each temperature, and measure it on other images.

    Wang and Liu (arXiv 2012.09740, section 4) train a network for each temperature: the lower it
    is, the more uniform and the less tolerant of images of one class the embedding becomes. Here
    the features stay frozen and only a projection is fitted (Adam, full batch, always the same
    start), which takes seconds and shows where on that curve the features allow one to be.

    Args:
        first_ND: (N, D) features of one view of each image. Images 0, 2, ... are fitted to, images
            1, 3, ... are measured.
        second_ND: (N, D) of the other view.
        labels_N: (N,) int64 classes.
        temperatures: T > 0.
        steps: of the optimiser.

    Returns:
        ``temperature``, ``uniformity``, ``tolerance`` and ``alignment``, a value for each
        temperature.

    Raises:
        DenseCLError: no class has two of the images that are measured.
    """
    both = torch.stack([first_ND, second_ND]).detach().float()
    fitted, held_out = both[:, 0::2], both[:, 1::2]
    mean, std = fitted.mean(dim=(0, 1)), fitted.std(dim=(0, 1))
    fitted, held_out = ((x - mean) / (std + 1e-6 * std.max()) for x in (fitted, held_out))
    results: dict[str, list[float]] = {
        "temperature": list(temperatures), "uniformity": [], "tolerance": [], "alignment": []
    }  # fmt: skip
    for temperature in temperatures:
        weight = _fit(fitted, temperature, steps)
        first, second = F.normalize(held_out @ weight, dim=2)
        results["uniformity"].append(uniformity(first).item())
        results["tolerance"].append(tolerance(first, labels_N[1::2]).item())
        results["alignment"].append(alignment(first, second).item())
    return results


@torch.enable_grad()
def _fit(views_2ND: Tensor, temperature: float, steps: int) -> Tensor:
    channels = views_2ND.shape[2]
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(channels, min(_CHANNELS, channels), generator=generator)
    weight = (start / math.sqrt(channels)).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=_LEARNING_RATE)
    for _ in range(steps):
        first, second = views_2ND @ weight
        optimizer.zero_grad()
        nt_xent(first, second, temperature).loss.backward()
        optimizer.step()
    return weight.detach()
