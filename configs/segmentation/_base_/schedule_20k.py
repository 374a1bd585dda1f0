# 20,000 iterations of 16 images, SGD, the learning rate falling as (1 - t)^0.9 to 1e-4.
_base_ = "./runtime.py"

train_cfg = dict(type="IterBasedTrainLoop", max_iters=20_000)
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=1e-4, begin=0, end=20_000, by_epoch=False)
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
