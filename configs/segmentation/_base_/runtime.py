# What every segmentation run shares: MMSegmentation's types, MMEngine's hooks and logging. There is no
# validation on the way: nothing is chosen by it, and the test images are scored once, at the end.
default_scope = "mmseg"
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # Two, because the oldest goes before the next is written: a kill then leaves one.
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2_000, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(opencv_num_threads=0))
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=False)
log_level = "INFO"
randomness = dict(seed=0)
test_cfg = dict(type="TestLoop")
