"""Faster R-CNN, ResNet-18-FPN, boxes of any COCO-format label file, 160 pixels, 300 iterations.

A small recipe of our own, for few images or few labels on a machine without a GPU.
Cost: about 3 minutes on one CPU core with bfloat16 (0.6 core-seconds an iteration).
Expected: see docs/results.md for the set it was run on.

    dense-cl finetune faster_rcnn_resnet18_fpn_1xb4_cosine_300i_tiny --backbone backbone.pth \
        --train LABELS.json [--val VAL.json] [--fraction 10]
"""

_base_ = [
    "./_base_/small_faster_rcnn.py",
    "./_base_/tiny_data.py",
    "./_base_/tiny_schedule.py",
]
