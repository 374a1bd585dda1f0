# MoCo v3 with a vision transformer (Chen et al., arXiv 2104.02057): fixed positions and patch projection,
# class token, three-layer projector, two-layer predictor, T = 0.2. Names are timm's.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="MoCoV3ViT", model_name="vit_base_patch16_224"),
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0)),
    shuffle_bn=False,  # only the heads have batch norm, and theirs is synchronised
    objectives=[
        dict(
            type="MoCoV3",
            temperature=0.2,
            head=dict(
                type="MLPHead",
                hidden_channels=4096,
                out_channels=256,
                num_layers=3,
                norm="SyncBN",
                norm_last=True,
            ),
            predictor=dict(hidden_channels=4096, norm="SyncBN", norm_last=True),
        )
    ],
)
