# VICRegL (Bardes et al., arXiv 2210.01571; facebookresearch/VICRegL main_vicregl.py): the global criterion
# is VICReg with an expander of 8,192 and the covariance averaged over the views (hence 0.5), the local one
# has an expander of 512 at every location. alpha = 0.75 are the two weights.
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
            weight=0.75,
            covariance_weight=0.5,
            head=dict(
                type="MLPHead",
                hidden_channels=8192,
                out_channels=8192,
                num_layers=3,
                norm="SyncBN",
            ),
        ),
        dict(
            type="VICRegL",
            weight=0.25,
            feature_matches=(20, 4),
            location_matches=(20, 4),
            head=dict(
                type="DenseMLPHead",
                hidden_channels=512,
                out_channels=512,
                num_layers=3,
                norm="SyncBN",
            ),
        ),
    ],
)
