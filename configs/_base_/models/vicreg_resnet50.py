# VICReg (Bardes et al., arXiv 2105.04906): expander of 8,192, weights 25, 25 and 1.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="VICReg",
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
