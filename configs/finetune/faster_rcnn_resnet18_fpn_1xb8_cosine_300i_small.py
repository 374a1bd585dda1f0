"""Faster R-CNN, ResNet-18-FPN, boxes of any COCO-format label file, 256 pixels, 300 iterations.

A small recipe of our own, for few images or few labels on a machine without a GPU.
Cost: about 3.5 minutes on two CPU cores with bfloat16 (1.2 core-seconds an iteration).
Expected: see docs/results.md for the sets it was run on.

    dense-cl finetune faster_rcnn_resnet18_fpn_1xb8_cosine_300i_small --backbone backbone.pth \
        --train LABELS.json [--val VAL.json] [--fraction 10]
"""

_base_ = [
    "./_base_/small_faster_rcnn.py",
    "./_base_/small_data.py",
    "./_base_/small_schedule.py",
]
