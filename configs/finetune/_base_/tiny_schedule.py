# small_schedule.py in a quarter of the time.
_base_ = "./small_schedule.py"

train_cfg = dict(max_iters=300, val_interval=300)
_base_.param_scheduler[0].end = 15
_base_.param_scheduler[1].update(begin=15, end=300)
param_scheduler = _base_.param_scheduler
default_hooks = dict(checkpoint=dict(interval=300))
