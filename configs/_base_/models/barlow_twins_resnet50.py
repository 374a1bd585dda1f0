# Barlow Twins (Zbontar et al., arXiv 2103.03230): three layers of 8,192, lambda 0.0051.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="BarlowTwins",
            off_diagonal_weight=0.0051,
            head=dict(
                type="MLPHead",
                hidden_channels=8192,
                out_channels=8192,
                num_layers=3,
                norm="SyncBN",
            ),
        )
    ],
)
