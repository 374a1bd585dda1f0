"""DenseCL, ResNet-18, 96 px, 10 epochs of generated scenes: what ``make quickstart`` pretrains.

Paper: Wang et al., arXiv 2011.09157, at a small scale of our own.
Cost: minutes on two CPU cores.
Expected: see docs/results.md.

    dense-cl pretrain densecl_resnet18_1xb32_cosine_10e_scenes
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/densecl_resnet18_small.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v2_96.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="SyntheticScenes", count=1200)),
)
optim_wrapper = dict(optimizer=dict(lr=0.06))
train_cfg = dict(max_epochs=10)
default_hooks = dict(logger=dict(interval=10))
