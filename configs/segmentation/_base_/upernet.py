# Xiao et al., arXiv 1807.10221: pyramid pooling and a feature pyramid on a ResNet-50 with its own
# strides, and the auxiliary loss of fcn.py.
_base_ = "./fcn.py"

model = dict(
    backbone=dict(strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1)),
    decode_head=dict(
        _delete_=True,
        type="UPerHead",
        in_channels=[256, 512, 1024, 2048],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
    auxiliary_head=dict(num_classes=150),
)
