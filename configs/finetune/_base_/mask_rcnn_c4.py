# Mask R-CNN on ResNet-50-C4; the rules are those of faster_rcnn_c4.py.
_base_ = "mmdet::_base_/models/mask-rcnn_r50-caffe-c4.py"

norm_cfg = dict(type="BN", requires_grad=True)
as_pretrained = dict(norm_cfg=norm_cfg, norm_eval=False, style="pytorch", init_cfg=None)
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    # As pretraining starts, for a fair random baseline.
    backbone=dict(frozen_stages=-1, zero_init_residual=False, **as_pretrained),
    roi_head=dict(shared_head=dict(type="dense_cl.NormedResLayer", **as_pretrained)),
)
