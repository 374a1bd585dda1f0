# MoCo v3 with a ResNet-50 (Chen et al., arXiv 2104.02057): in-batch keys, a predictor, T = 1.
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
            type="MoCoV3",
            temperature=1.0,
            head=dict(
                type="MLPHead",
                hidden_channels=4096,
                out_channels=256,
                norm="SyncBN",
                norm_last=True,
            ),
            predictor=dict(hidden_channels=4096, norm="SyncBN"),
        )
    ],
)
