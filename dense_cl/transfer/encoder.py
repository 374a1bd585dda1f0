"""A backbone with layers behind it: image to vector, or to class scores; saved in one file.

The file is that of an exported backbone with further tensors ``head.*`` and a description of these
layers, ``meta['head']``. Whoever wants the backbone alone (``load_backbone``, ``dense-cl
finetune``) leaves them out, as any classifier.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.models.backbones import image_vectors
from dense_cl.models.layers import build_layers, describe_layers, first_layers
from dense_cl.transfer.loading import full_match, load_backbone
from dense_cl.transfer.weights_file import DETECTOR_PARTS, read_weights, write_weights

HEAD_PREFIX = "head."


class Encoder(nn.Module):
    """Backbone, pooling, and layers on vectors.

    Args:
        backbone: as ``load_backbone`` returns it.
        head: on its vectors, (B, C); linear layers, 1-D batch norm, group norm and ReLU.
        meta: of the file that the backbone came from.
    """

    def __init__(self, backbone: nn.Module, head: nn.Sequential, meta: Mapping[str, Any]) -> None:
        super().__init__()
        self.backbone, self.head, self.meta = backbone, head, dict(meta)

    @property
    def out_channels(self) -> int:
        """Dimension D of the result."""
        linear = [layer.out_features for layer in self.head if isinstance(layer, nn.Linear)]
        backbone: Any = self.backbone
        return linear[-1] if linear else backbone.out_channels[-1]

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Map images, normalised as ``meta['normalization']`` says, to (B, D)."""
        return self.head(image_vectors(self.backbone, image_BCHW))


def load_encoder(file: str | Path) -> Encoder:
    """Rebuild what ``dense-cl export --head-layers`` or ``save_encoder`` wrote.

    A file without ``head.*`` gives an encoder whose vectors are the backbone's.

    Raises:
        DenseCLError: as ``load_backbone``; or the layers are described wrongly.
    """
    weights = read_weights(file)
    backbone = load_backbone(file)
    head = build_layers(weights.meta.get("head", []), str(file))
    given = {
        key.removeprefix(HEAD_PREFIX): value
        for key, value in weights.state_dict.items()
        if key.startswith(HEAD_PREFIX)
    }
    if len(head):
        full_match(head, given, f"{file}, layers behind the backbone", allow_classifier=False)
        head.load_state_dict(given)
    return Encoder(backbone, head, weights.meta)


def save_encoder(encoder: Encoder, out: str | Path) -> tuple[Path, Path]:
    """Write an encoder, such as a fine-tuned classifier, as ``.pth`` and ``.safetensors``.

    Returns:
        The paths of the two files.

    Raises:
        DenseCLError: a layer of the head is of another kind than these files know.
    """
    prefix = getattr(encoder.backbone, "weights_prefix", "")
    tensors = {k.removeprefix(prefix): v for k, v in encoder.backbone.state_dict().items()}
    tensors |= {HEAD_PREFIX + key: value for key, value in encoder.head.state_dict().items()}
    # The neck and box head that some files bring are not part of an encoder.
    meta = {key: value for key, value in encoder.meta.items() if key != DETECTOR_PARTS}
    return write_weights(tensors, meta | {"head": describe_layers(encoder.head)}, out)


def head_of_checkpoint(content: Mapping[str, Any], count: int, file: str) -> nn.Sequential:
    """Return the first layers of a pretraining checkpoint's projection head, with its weights.

    Of several image-level objectives it is the first one's.

    Args:
        content: of the checkpoint.
        count: linear layers; the norm and ReLU behind each come with it.
        file: its name, for messages.

    Raises:
        DenseCLError: no such head, or not as many layers.
    """
    heads = content["meta"].get("heads") or {}
    if not heads:
        raise DenseCLError(f"--head-layers: '{file}' describes no image-level projection head.")
    name, described = next(iter(heads.items()))
    head = build_layers(described, file)
    prefix = f"objectives.{name}.head.layers."
    tensors = {
        key.removeprefix(prefix): value
        for key, value in content["state_dict"].items()
        if key.startswith(prefix)
    }
    full_match(head, tensors, f"{file}, projection head of {name}", allow_classifier=False)
    head.load_state_dict(tensors)
    return first_layers(head, count)
