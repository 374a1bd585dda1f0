# Faster R-CNN with a ResNet-50-FPN, as self-supervised backbones are fine-tuned (He et al.,
# arXiv 1911.05722, section 4.2; DenseCL, arXiv 2011.09157): nothing is frozen, every norm layer
# trains, and the pyramid and a 4conv1fc box head are normalised too, so that one learning rate
# fits weights of any scale. BN becomes SyncBN when several GPUs train.
_base_ = "mmdet::_base_/models/faster-rcnn_r50_fpn.py"

norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style="pytorch",
        zero_init_residual=False,  # as pretraining starts, for a fair random baseline
        init_cfg=None,
    ),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm_cfg)
    ),
)
