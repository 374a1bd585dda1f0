# Faster R-CNN on a ResNet-18-FPN with narrow heads, for small images on a CPU. Group norm in the
# new layers: their statistics then do not depend on how few images a batch has.
_base_ = "./faster_rcnn_fpn.py"

gn = dict(type="GN", num_groups=32, requires_grad=True)
model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=128, norm_cfg=gn),
    rpn_head=dict(in_channels=128, feat_channels=128, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=128, roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=2)
        ),
        bbox_head=dict(
            type="ConvFCBBoxHead",
            reg_class_agnostic=True,  # few boxes of each class
            num_shared_convs=1,
            num_shared_fcs=1,
            in_channels=128,
            conv_out_channels=128,
            fc_out_channels=512,
            norm_cfg=gn,
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)
