# SimSiam (Chen and He, arXiv 2011.10566): three-layer projector, bottleneck predictor.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="SimSiam",
            head=dict(
                type="MLPHead",
                hidden_channels=2048,
                out_channels=2048,
                num_layers=3,
                norm="SyncBN",
                norm_last=True,
            ),
            predictor=dict(hidden_channels=512, norm="SyncBN"),
        )
    ],
)
