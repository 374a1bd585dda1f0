"""DenseCL with exact correspondences, ResNet-18, 96 px, 15 epochs of generated scenes.

Paper: Wang et al., arXiv 2011.09157, at a small scale of our own. What `make quickstart` pretrains.
Cost: 20 iterations of 32 images an epoch for 640 scenes; two to three minutes on two CPU cores.
Expected: after 480 iterations on 1,024 scenes, 25 % of places were found again in a mirrored view
(random weights 16 %, chance 10 %; one seed). AP: see docs/results.md.

Two changes to the paper, for runs of minutes: cells are matched by the geometry of the views, and
the temperature is 0.1. With the paper's FeatureArgmax and 0.2 the dense term was solved by position
(docs/methods.md), and after the same training no more places were found than by random weights.

    dense-cl scenes --out data/scenes --train 640 --val 80 --size 160x160 --labelled 150
    dense-cl pretrain densecl_resnet18_1xb32_cosine_15e_scenes --data data/scenes/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/densecl_resnet18_small.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v2_96.py",
]
model = dict(
    objectives=[
        dict(
            type="InfoNCE",
            weight=dict(kind="step", before=1.0, after=0.5, at=100),
            queue_size=512,
            temperature=0.1,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128),
        ),
        dict(
            type="DenseInfoNCE",
            weight=dict(kind="step", before=0.0, after=0.5, at=100),
            queue_size=512,
            temperature=0.1,
            head=dict(type="DenseMLPHead", hidden_channels=512, out_channels=128, grid_size=None),
            correspondence=dict(type="GeometricNearest"),
        ),
    ],
)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/scenes/train")),
)
optim_wrapper = dict(optimizer=dict(lr=0.06))
train_cfg = dict(max_epochs=15)
default_hooks = dict(checkpoint=dict(interval=5), logger=dict(interval=20))
