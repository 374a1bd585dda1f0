# ORL (Xie et al., arXiv 2106.11952): BYOL's projector, a predictor for each of three kinds of pairs, decay
# 0.99 to 1 (Jiahao000/ORL, configs/selfsup/orl/coco/stage3/r50_bs512_ep800.py).
_base_ = "byol_resnet50.py"
model = dict(
    backbone=dict(zero_init_residual=False),  # OpenSelfSup's, which ORL is built on
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0)),
    objectives=[
        dict(
            type="ORL",
            head=dict(type="MLPHead", hidden_channels=4096, out_channels=256, norm="SyncBN"),
            predictor=dict(hidden_channels=4096, norm="SyncBN"),
        )
    ],
)
