# DenseCL (Wang et al., arXiv 2011.09157): MoCo v2 and a dense contrast, each with half the weight
# (equation 3, lambda = 0.5). The authors' code keeps lambda at 0 for the first 1,000 iterations.
_base_ = "moco_v2_resnet50.py"
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            weight=dict(kind="step", before=1.0, after=0.5, at=1000),
            queue_size=65536,
            temperature=0.2,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128),
        ),
        dict(
            type="DenseInfoNCE",
            weight=dict(kind="step", before=0.0, after=0.5, at=1000),
            queue_size=65536,
            temperature=0.2,
            head=dict(type="DenseMLPHead", hidden_channels=2048, out_channels=128, grid_size=None),
            correspondence=dict(type="FeatureArgmax"),
        ),
    ],
)
