# SwAV (Caron et al., arXiv 2006.09882): head of 2,048 to 128, 3,000 prototypes, T = 0.1, epsilon 0.05,
# three Sinkhorn iterations, no queue; it expects the eight views of multicrop_224_96.py.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN"),
    objectives=[
        dict(
            type="SwAV",
            num_prototypes=3000,
            temperature=0.1,
            epsilon=0.05,
            sinkhorn_iterations=3,
            num_views=8,
            num_assign_views=2,
            freeze_steps=313,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128, norm="SyncBN"),
        )
    ],
)
