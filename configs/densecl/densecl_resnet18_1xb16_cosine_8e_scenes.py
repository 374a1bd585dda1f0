"""DenseCL, ResNet-18, 80 px, 8 epochs of generated scenes. What `make quickstart` pretrains.

Paper: Wang et al., arXiv 2011.09157, at a small scale of our own.
Cost: 32 iterations of 16 images an epoch for 512 scenes; about two minutes on two AVX2
cores in float32.
Expected: 23 % of places found again in a mirrored view (random weights 16 %, chance 10 %; one seed).
AP: see docs/results.md.

    dense-cl scenes --out data/scenes --train 512 --val 80 --size 128x128 --labelled 150
    dense-cl pretrain densecl_resnet18_1xb16_cosine_8e_scenes --data data/scenes/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/densecl_resnet18_small.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/views/moco_v2_96.py",
]
_views = _base_.train_dataloader.dataset.views
_views[0].size = (80, 80)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/scenes/train"),
        views=_views,
    ),
)
auto_scale_lr = dict(base_batch_size=16)
train_cfg = dict(max_epochs=8)
default_hooks = dict(checkpoint=dict(interval=4), logger=dict(interval=20))
