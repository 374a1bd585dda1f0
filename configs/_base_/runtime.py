# What every pretraining recipe shares. All of it can be left out; these are the defaults.
default_scope = "dense_cl"
randomness = dict(seed=0)
# Mixed precision: None uses it where the hardware has it, True and False force it.
amp = None
compile = False
# The learning rate of a recipe belongs to a total batch size; enable=True scales it to yours.
auto_scale_lr = dict(enable=False, base_batch_size=256)
default_hooks = dict(
    checkpoint=dict(interval=1, by_epoch=True, keep=2),
    logger=dict(interval=50),
    quarantine=dict(limit=0.05),
)
# docs/training.md says how to add TensorBoard and other trackers.
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
