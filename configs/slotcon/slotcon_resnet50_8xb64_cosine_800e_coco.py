"""SlotCon, ResNet-50, 800 epochs of COCO train2017, 512 images a step.

Paper: Wen et al., Self-Supervised Visual Representation Learning with Semantic Grouping, arXiv 2205.15288.
Cost: 8 GPUs x 64 images, about 185,000 iterations.
Expected: Mask R-CNN on COCO 41.0 box AP, 37.0 mask AP (CVMI-Lab/SlotCon README.md). Not run by us.

    bash tools/dist_train.sh slotcon_resnet50_8xb64_cosine_800e_coco 8 --data COCO/train2017
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/slotcon_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    # The authors draw the second crop until it shows 1 % of the first, ten times at most; here it is drawn once,
    # and pairs without an overlap are left out of the distillation.
    "../_base_/views/byol_224.py",
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/coco/train2017")),
)
# 1.0 x 512 / 256 (the authors' scripts/slotcon_coco_r50_800ep.sh).
optim_wrapper = dict(optimizer=dict(lr=2.0, weight_decay=1e-5))
param_scheduler = [
    dict(type="WarmupCosineLR", warmup=5, end_ratio=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=512)
