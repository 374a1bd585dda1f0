# MoCo v2 (Chen et al., arXiv 2003.04297): ResNet-50, two-layer head, queue of 65,536, T = 0.2.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50),
    target=dict(ema_decay=0.999),
    shuffle_bn=True,
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=65536,
            temperature=0.2,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128),
        )
    ],
)
