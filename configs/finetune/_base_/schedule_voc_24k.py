# 24,000 iterations of 16 images, 23 epochs: MoCo's "2x" schedule on VOC 07+12.
_base_ = "./runtime.py"

train_cfg = dict(type="IterBasedTrainLoop", max_iters=24_000, val_interval=8_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(
        type="MultiStepLR", by_epoch=False, begin=0, end=24_000, milestones=[18_000, 22_000],
        gamma=0.1,
    ),
]  # fmt: skip
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=2_000))
log_processor = dict(by_epoch=False)
