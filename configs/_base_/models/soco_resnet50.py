# SoCo (Wei et al., arXiv 2106.02637): ResNet-50-FPN and the 4conv1fc box head of
# configs/finetune/_base_/{faster,mask}_rcnn_fpn.py, so that these detectors start from all of it.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0)),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="SoCo",
            num_views=3,
            num_boxes=4,
            jitter=0.1,
            level_sizes=(48, 96, 192),
            channels=256,
            num_convs=4,
            num_fcs=1,
            fc_channels=1024,
            norm="SyncBN",
            head=dict(type="MLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            predictor=dict(hidden_channels=4096, norm="SyncBN"),
        )
    ],
)
