# densecl_resnet50.py at the size of moco_v2_resnet18_small.py; lambda starts after 100 iterations.
_base_ = "moco_v2_resnet18_small.py"
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            weight=dict(kind="step", before=1.0, after=0.5, at=100),
            queue_size=128,
            temperature=0.05,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128),
        ),
        dict(
            type="DenseInfoNCE",
            weight=dict(kind="step", before=0.0, after=0.5, at=100),
            queue_size=128,
            temperature=0.2,
            head=dict(type="DenseMLPHead", hidden_channels=512, out_channels=128, grid_size=None),
            correspondence=dict(type="FeatureArgmax"),
        ),
    ],
)
