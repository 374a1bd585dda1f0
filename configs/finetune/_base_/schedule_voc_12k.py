# 12,000 iterations of 16 images: half of schedule_voc_24k.py.
_base_ = "./schedule_voc_24k.py"

train_cfg = dict(max_iters=12_000, val_interval=4_000)
_base_.param_scheduler[1].update(end=12_000, milestones=[9_000, 11_000])
param_scheduler = _base_.param_scheduler
