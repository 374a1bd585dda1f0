# RetinaNet on a ResNet-18-FPN with a narrow head; see small_faster_rcnn.py.
_base_ = "./retinanet_fpn.py"

gn = dict(type="GN", num_groups=32, requires_grad=True)
model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=128, norm_cfg=gn),
    bbox_head=dict(
        stacked_convs=2,
        in_channels=128,
        feat_channels=128,
        norm_cfg=gn,
        anchor_generator=dict(octave_base_scale=3),
    ),
    test_cfg=dict(nms_pre=300),
)
