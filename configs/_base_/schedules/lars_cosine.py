# LARS, ten epochs of linear warm-up from zero, then a cosine to zero, both stepped each iteration. The
# leaf gives the learning rate (the papers' is per 256 images, times batch / 256) and max_epochs.
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="LARS", lr=4.8, momentum=0.9, weight_decay=1e-6)
)
param_scheduler = [
    dict(type="WarmupCosineLR", warmup=10, end_ratio=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type="PretrainLoop", max_epochs=1000)
