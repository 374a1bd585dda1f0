# PixPro (Xie et al., arXiv 2011.10043; zdaxie/PixPro contrast/models/PixPro.py): projector of 4,096 to
# 256 at every location, decay 0.99 to 1; positives nearer than 0.7 cell diagonals, propagation with the
# square of the similarity and one linear layer (tools/pixpro_base_r50_100ep.sh).
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
            type="PixPro",
            head=dict(type="DenseMLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            correspondence=dict(type="DistanceThreshold", threshold=0.7),
            power=2.0,
            transform_layers=1,
        )
    ],
)
