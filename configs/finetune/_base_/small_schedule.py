# 1,200 iterations of 4 images on one process, whatever the size of the data set: minutes on two CPU
# cores with bfloat16. Small batches, because so short a run needs steps more than exact gradients;
# AdamW, because it has no time for SGD's long warm-up either.
_base_ = "./runtime.py"

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1200, val_interval=1200)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=10, norm_type=2),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=60),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=60, end=1200, eta_min=5e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(by_epoch=False, interval=400, max_keep_ckpts=2)
)
log_processor = dict(window_size=20, by_epoch=False)
