# BYOL (Grill et al., arXiv 2006.07733): projector and predictor of 4,096 to 256, decay 0.996 to 1.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    target=dict(ema_decay=dict(kind="cosine", start=0.996, end=1.0)),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="BYOL",
            head=dict(type="MLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            predictor=dict(hidden_channels=4096, norm="SyncBN"),
        )
    ],
)
