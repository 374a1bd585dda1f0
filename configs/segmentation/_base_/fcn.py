# Long et al., arXiv 1411.4038, on a ResNet-50 whose last two stages are dilated to stride 8, with an
# auxiliary loss on the third (Zhao et al., arXiv 1612.01105): MMSegmentation's fcn_r50-d8. The stem is
# the plain 7x7 convolution of pretraining, not MMSegmentation's three 3x3 (ResNetV1c). Nothing is
# frozen, and batch norm is trained; over several GPUs it is synchronised.
bn = dict(type="BN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],  # ImageNet; replaced by what the backbone file says
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        norm_cfg=bn,
        norm_eval=False,
        frozen_stages=-1,
        style="pytorch",
        init_cfg=None,
        zero_init_residual=False,  # as pretraining starts, for a fair random baseline
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels=2048,
        in_index=3,
        channels=512,
        num_convs=2,
        concat_input=True,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=bn,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=bn,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
