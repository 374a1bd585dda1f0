"""BYOL, ResNet-50, 800 epochs of COCO train2017, 512 images a step: the first stage of ORL.

Paper: Grill et al., arXiv 2006.07733; schedule of Xie et al. (ORL), arXiv 2106.11952, from Jiahao000/ORL
configs/selfsup/orl/coco/stage1/r50_bs512_ep800.py: SGD 0.4, weight decay 1e-4, warm-up of 4 epochs, cosine,
decay 0.99 to 1.
Cost: 8 GPUs x 64 images, about 185,000 iterations.
Expected: not run by us.

    bash tools/dist_train.sh byol_resnet50_8xb64_cosine_800e_coco 8 --data COCO/train2017
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/byol_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/byol_224.py",
]
model = dict(
    backbone=dict(zero_init_residual=False),  # OpenSelfSup's, which ORL is built on
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0)),
)
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/coco/train2017")),
)
optim_wrapper = dict(optimizer=dict(lr=0.4))
param_scheduler = [
    dict(type="WarmupCosineLR", warmup=4, end_ratio=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=512)
