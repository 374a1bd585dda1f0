"""Mask R-CNN, ResNet-18-FPN, synthetic scenes of 128 pixels, 150 iterations of 4.

Cost: two minutes on two AVX2 cores in float32, evaluation included.
Expected: see docs/results.md for one category, as `dense-cl quickstart` labels them.

    dense-cl finetune mask_rcnn_resnet18_fpn_1xb4_cosine_150i_scenes --backbone backbone.pth \
        --train SCENES/annotations/instances_train.json --val SCENES/annotations/instances_val.json
"""

_base_ = "./mask_rcnn_resnet18_fpn_1xb4_cosine_1200i_small.py"

channels = 64
model = dict(
    neck=dict(out_channels=channels),
    # Objects are 16 to 80 pixels: the levels from stride 4 to 32 have anchors for them.
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, conv_out_channels=channels, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(num_convs=1, in_channels=channels, conv_out_channels=channels),
    ),
    # Half of the regions are objects: 16 classes are to be learned from little.
    train_cfg=dict(rcnn=dict(sampler=dict(num=32, pos_fraction=0.5))),
)
_base_.train_pipeline[2].scale = (128, 128)
_base_.test_pipeline[1].scale = (128, 128)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3))
_base_.param_scheduler[0].end = 20
_base_.param_scheduler[1].update(begin=20, end=150)
param_scheduler = _base_.param_scheduler
train_cfg = dict(max_iters=150, val_interval=150)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=150, save_optimizer=False))
