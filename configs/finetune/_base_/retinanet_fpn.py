# RetinaNet with a ResNet-50-FPN, nothing frozen, every norm layer trained. The head is shared by
# five levels whose statistics differ, so batch statistics do not suit it: it has group norm.
_base_ = "mmdet::_base_/models/retinanet_r50_fpn.py"

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
    bbox_head=dict(norm_cfg=dict(type="GN", num_groups=32, requires_grad=True)),
)
