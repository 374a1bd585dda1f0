"""Leopart, DINO's ViT-S/16, 50 epochs of COCO train2017, 64 images a step of six views.

Paper: Ziegler and Asano, Self-Supervised Learning of Object Parts for Semantic Segmentation, arXiv 2204.13101.
Cost: 2 GPUs x 32 images, about 92,000 iterations. timm downloads DINO's weights.
Expected: no figure of ours; not run. The loss is over all patches, the paper's focuses on the foreground.

    bash tools/dist_train.sh leopart_vit_small_2xb32_cosine_50e_coco 2 --data COCO/train2017
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/leopart_vit_small.py",
    "../_base_/schedules/adamw_warmup_cosine.py",
    "../_base_/views/leopart_224_96.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/coco/train2017")),
)
# The heads learn ten times as fast as the backbone, and biases and norms of both do not decay (the authors'
# train_coco_config.yml); their weight decay rises to 0.5, ours stays where it begins.
optim_wrapper = dict(
    constructor="NoVectorDecay",
    optimizer=dict(lr=1e-4, weight_decay=0.04),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", eta_min=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=64)
