# ReSim-FPN (Xiao et al., arXiv 2103.12902): MoCo v2 and the contrast of windows on C4 and C3, summed.
_base_ = "moco_v2_resnet50.py"
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=65536,
            temperature=0.2,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128),
        ),
        dict(
            type="ReSim",
            stages=(-2, -3),
            windows=(48, 32),
            strides=(32, 24),
            gather=(True, False),
            channels=256,
            temperature=0.2,
        ),
    ],
)
