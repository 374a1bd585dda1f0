"""Mask R-CNN, ResNet-18-FPN, boxes and masks of any COCO-format label file, 160 pixels, 300 iterations.

A small recipe of our own, for few images or few labels on a machine without a GPU.
Cost: about 4 minutes on one CPU core with bfloat16 (0.85 core-seconds an iteration).
Expected: see docs/results.md for the set it was run on.

    dense-cl finetune mask_rcnn_resnet18_fpn_1xb4_cosine_300i_tiny --backbone backbone.pth \
        --train LABELS.json [--val VAL.json] [--fraction 10]
"""

_base_ = [
    "./_base_/small_mask_rcnn.py",
    "./_base_/tiny_data.py",
    "./_base_/tiny_schedule.py",
]

_base_.train_pipeline[1].with_mask = True
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
