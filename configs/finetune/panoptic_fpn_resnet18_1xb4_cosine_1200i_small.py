"""Panoptic-FPN, ResNet-18, any COCO-panoptic label file, 256 pixels, 1,200 iterations.

A small recipe of our own, for few images or few labels on a machine without a GPU.
Cost: not measured; above mask_rcnn_resnet18_fpn_1xb4_cosine_1200i_small.py, of which it is one.
Expected: no reference.

    dense-cl finetune panoptic_fpn_resnet18_1xb4_cosine_1200i_small --backbone backbone.pth \
        --train LABELS.json [--val VAL.json] [--fraction 10]
"""

_base_ = "./mask_rcnn_resnet18_fpn_1xb4_cosine_1200i_small.py"

model = dict(
    type="PanopticFPN",
    data_preprocessor=dict(mask_pad_value=0, pad_seg=True, seg_pad_value=255),
    semantic_head=dict(
        type="PanopticFPNHead",
        num_things_classes=80,
        num_stuff_classes=53,
        in_channels=128,
        inner_channels=64,
        norm_cfg=dict(type="GN", num_groups=32, requires_grad=True),
        loss_seg=dict(type="CrossEntropyLoss", ignore_index=255, loss_weight=0.5),
    ),
    panoptic_fusion_head=dict(
        type="HeuristicFusionHead", num_things_classes=80, num_stuff_classes=53
    ),
    test_cfg=dict(
        rcnn=dict(score_thr=0.5, nms=dict(type="nms", iou_threshold=0.5, class_agnostic=True)),
        # Of the areas of 4096 at 800 pixels, what is left at 256.
        panoptic=dict(mask_overlap=0.5, stuff_area_limit=4096 * 256**2 // 800**2),
    ),
)
_base_.train_pipeline[1] = dict(type="LoadPanopticAnnotations")
train_dataloader = dict(dataset=dict(type="CocoPanopticDataset", pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(type="CocoPanopticDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type="CocoPanopticMetric", ann_file="", seg_prefix="")
test_evaluator = val_evaluator
