"""Checkpoints and weight files for the tests of the hand-off."""

import os
import pickle
from pathlib import Path

import torch
from torch import nn

from dense_cl.engine.checkpoint import save_checkpoint
from dense_cl.models import build_backbone

NORMALIZATION = {"mean": [120.0, 110.0, 100.0], "std": [60.0, 50.0, 40.0], "channel_order": "RGB"}


def pretrained(architecture: dict, path: Path) -> nn.Module:
    """Write a pretraining checkpoint of a random backbone, and return the backbone."""
    backbone = build_backbone(architecture)
    with torch.no_grad():  # no two norm layers alike, as after training
        for tensor in backbone.state_dict().values():
            if tensor.dim() == 1:
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    state_dict = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    state_dict["target.encoder.conv1.weight"] = torch.zeros(2)
    meta = dict(
        architecture=architecture,
        normalization=NORMALIZATION,
        method="InfoNCE+DenseInfoNCE",
        config_hash="0123abcd",
        data_fingerprint="f00",
        versions={"torch": "2"},
        seed=3,
        iter=40,
        epoch=2,
    )
    save_checkpoint({"state_dict": state_dict, "meta": meta}, path)
    return backbone


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def poisoned(path: Path, marker: Path, zipped: bool) -> Path:
    """Write a checkpoint that runs code when it is fully unpickled."""
    content = {"state_dict": {"backbone.conv1.weight": torch.zeros(1)}, "meta": Bomb(marker)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


class Asks:
    """Asks for something that leads to any code when it is unpickled."""

    def __init__(self, owner: object, name: str) -> None:
        self.asked = owner, name

    def __reduce__(self):
        return getattr, self.asked
