# 80,000 iterations, else as schedule_20k.py.
_base_ = "./schedule_20k.py"

train_cfg = dict(max_iters=80_000)
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=1e-4, begin=0, end=80_000, by_epoch=False)
]
