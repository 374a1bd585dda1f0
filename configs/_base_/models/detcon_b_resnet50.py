# DetCon-B (Hénaff et al., arXiv 2103.10957; google-deepmind/detcon detcon_b_config.py): BYOL's projector and
# predictor of 4,096 to 256 on pooled regions, T = 0.1, decay 0.996 to 1.
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
            type="DetConB",
            temperature=0.1,
            num_regions=16,
            head=dict(type="MLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            predictor=dict(hidden_channels=4096, norm="SyncBN"),
        )
    ],
)
