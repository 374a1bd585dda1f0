# AdamW with a warm-up of 40 iterations and a cosine to zero, both stepped each iteration: for runs of
# hundreds to a few thousand steps, which are over before SGD at the paper's rates has got anywhere.
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05, fused=True)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(type="PretrainLoop", max_epochs=40)
