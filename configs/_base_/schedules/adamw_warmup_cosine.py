# AdamW, 40 epochs of linear warm-up from zero, then a cosine to zero, both stepped each iteration, as MoCo
# v3 trains vision transformers (arXiv 2104.02057). The leaf gives the learning rate (1.5e-4 per 256 images).
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=2.4e-3, weight_decay=0.1, fused=True)
)
param_scheduler = [
    dict(type="WarmupCosineLR", warmup=40, end_ratio=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type="PretrainLoop", max_epochs=300)
