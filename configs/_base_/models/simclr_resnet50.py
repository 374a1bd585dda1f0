# SimCLR (Chen et al., arXiv 2002.05709): two normalised layers, NT-Xent at T = 0.1.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="SimCLR",
            temperature=0.1,
            head=dict(
                type="MLPHead",
                hidden_channels=2048,
                out_channels=128,
                norm="SyncBN",
                norm_last=True,
            ),
        )
    ],
)
