# 300 iterations of 8 images on one process, whatever the size of the data set. AdamW, because so short
# a run has no time for SGD's long warm-up.
_base_ = "./runtime.py"

train_cfg = dict(type="IterBasedTrainLoop", max_iters=300)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=10, norm_type=2),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=30, end=300, eta_min=1e-5),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=100))
log_processor = dict(window_size=20)
