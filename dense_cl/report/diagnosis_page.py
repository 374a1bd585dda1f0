"""What ``dense-cl diagnose`` writes: JSON, plots as PNG, and a page that shows them."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dense_cl.diagnostics.spectrum import principal_plane
from dense_cl.errors import DenseCLError
from dense_cl.report import html
from dense_cl.report.feature_map import draw_feature_map
from dense_cl.report.plots import Panel, curves, read_scalars

_CAPTIONS = {
    "spectrum": "Share of the variance on each principal component. A line that falls off a cliff "
    "is dimensional collapse: the directions to the right of it are not used.",
    "hardness": "Left: cosines of two views of an image (positives) and of different images "
    "(negatives); the less they overlap the better. Right: share of a contrastive loss's repulsive "
    "gradient that falls on the hardest negatives, by temperature.",
    "trade_off": "A linear projection of the frozen features, fitted with NT-Xent at the "
    "temperature written at each point and measured on other images. Further right is less "
    "uniform, further up more tolerant of images of one class.",
    "feature_map": "Images where the first two principal components of their features put them. "
    "Frames have the colour of the class, where classes are known.",
    "curves": "The run that these weights are from.",
}


def write_diagnosis(
    result: Mapping[str, Any],
    folder: Path,
    scalars: Path | None,
    images_NHWC: NDArray[np.uint8],
    features_ND: Tensor,
    classes: Sequence[str],
) -> None:
    """Write everything ``dense-cl diagnose`` shows.

    Args:
        result: of ``dense_cl.diagnose``.
        folder: where ``diagnostics.json``, the PNGs and ``diagnosis.html`` go.
        scalars: ``scalars.json`` of the run, for its curves.
        images_NHWC: (N, H, W, 3) RGB images of the map.
        features_ND: (N, D) their features.
        classes: N names, or none.

    Raises:
        DenseCLError: the folder cannot be written.
    """
    spaces = result["spaces"]
    pictures = {
        "spectrum": curves([_spectrum(spaces)], "principal component"),
        "hardness": curves([p for name in spaces for p in _hardness(name, spaces[name])]),
    }
    swept = {name: space["sweep"] for name, space in spaces.items() if "sweep" in space}
    if swept:
        pictures["trade_off"] = curves([_trade_off(*item) for item in swept.items()])
    places = principal_plane(features_ND).numpy()
    pictures["feature_map"] = _png(draw_feature_map(images_NHWC, places, classes))
    history = _history(scalars) if scalars else []
    if history:
        pictures["curves"] = curves(history)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in pictures.items():
            (folder / f"{name}.png").write_bytes(content)
        text = json.dumps(result, indent=2) + "\n"
        (folder / "diagnostics.json").write_text(text, encoding="utf-8")
        html.save(_page(result, pictures), folder / "diagnosis.html")
    except OSError as error:
        raise DenseCLError(
            f"'{folder}' cannot be written: {error.strerror}. Give another folder with --out."
        ) from error


def _page(result: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    settings = result["settings"]
    wrong = [
        f"{judged['measure']} ({name})"
        for name, space in result["spaces"].items()
        for judged in space["judgements"]
        if judged["healthy"] is False
    ]
    blocks = [
        html.verdict(
            f"Suspicious: {', '.join(wrong)}." if wrong else "Nothing suspicious was found."
        )
    ]
    for name, space in result["spaces"].items():
        rows = [
            (j["measure"], f"{j['value']:.4g}", j["verdict"], j["sentence"])
            for j in space["judgements"]
        ]
        title = f"{name.replace('_', ' ')}, {space['channels']} dimensions"
        blocks.append(html.table(("instrument", "value", "verdict", "meaning"), rows, title))
    blocks += [
        html.figure(content, _CAPTIONS[name], name.replace("_", " "))
        for name, content in pictures.items()
    ]
    lead = (
        f"{result['backbone']} on {settings['images']} images of {settings['data']}, "
        f"{settings['views']} views of {settings['size']} pixels each"
    )
    footer = " · ".join(f"{name} {version}" for name, version in result["versions"].items())
    return html.page("Diagnosis", lead, blocks, footer)


def _spectrum(spaces: Mapping[str, Any]) -> Panel:
    lines = {}
    for name, space in spaces.items():
        # What is left of rounding errors is no direction, and would stretch the axis.
        shares = [share for share in space["spectrum"] if share > 1e-10]
        lines[name] = (range(1, len(shares) + 1), shares)
    return Panel("share of variance", lines, log="xy")


def _hardness(name: str, space: Mapping[str, Any]) -> list[Panel]:
    similarity, shares = space["similarity"], space["hardness"]
    histogram = {
        kind: (similarity["centres"], similarity[kind]) for kind in ("positives", "negatives")
    }
    by_count = {
        f"hardest {count}": (shares["temperatures"], [row[column] for row in shares["share"]])
        for column, count in enumerate(shares["hardest"])
    }
    return [
        Panel(f"{name}: share of pairs", histogram, xlabel="cosine"),
        Panel(f"{name}: share of repulsion", by_count, xlabel="temperature", log="x"),
    ]


def _trade_off(name: str, sweep: Mapping[str, Sequence[float]]) -> Panel:
    return Panel(
        f"{name}: tolerance",
        {"tolerance": (sweep["uniformity"], sweep["tolerance"])},
        xlabel="uniformity",
        marks=[f"{temperature:g}" for temperature in sweep["temperature"]],
    )


def _history(scalars: Path) -> list[Panel]:
    records = read_scalars(scalars)
    names = sorted({name for record in records for name in record})

    def panel(title: str, *endings: str) -> Panel:
        chosen = {n.removeprefix("diagnostics_"): n for n in names if n.endswith(endings)}
        return Panel.of(title, records, chosen)

    losses = {name: name for name in names if name == "loss" or name.startswith("loss_")}
    panels = [
        Panel.of("loss", records, losses),
        panel("spread", "feature_std", "_projection_std"),
        panel("effective rank", "effective_rank", "_projection_rank", "diagnostics_rankme"),
        panel("similarity of positives", "positive_similarity"),
        panel("alignment, uniformity", "diagnostics_alignment", "diagnostics_uniformity"),
        panel("labelled images", "diagnostics_knn", "diagnostics_tolerance"),
    ]
    return [panel for panel in panels if panel.curves]


def _png(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
