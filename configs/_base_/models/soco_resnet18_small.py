# soco_resnet50.py for a few thousand images and steps: ResNet-18, heads of its width, and pyramid and box
# head of configs/finetune/_base_/small_faster_rcnn.py, with group norm. Levels change at the paper's sizes
# times 96 / 224, so that a box covers as many cells of its level: up to 5 x 5 of P2's 24 x 24, and all
# 3 x 3 of P5.
_base_ = "soco_resnet50.py"
model = dict(
    backbone=dict(depth=18, norm="BN", zero_init_residual=False),
    objectives=[
        dict(
            type="SoCo",
            num_views=3,
            num_boxes=4,
            jitter=0.1,
            level_sizes=(20, 41, 82),
            channels=128,
            num_convs=1,
            num_fcs=1,
            fc_channels=512,
            norm="GN",
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            predictor=dict(hidden_channels=512, norm="BN"),
        )
    ],
)
