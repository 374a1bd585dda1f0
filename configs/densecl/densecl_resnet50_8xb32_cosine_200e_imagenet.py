"""DenseCL, ResNet-50, 200 epochs of ImageNet-1k.

Paper: Wang et al., Dense Contrastive Learning for Self-Supervised Visual Pre-Training,
arXiv 2011.09157.
Cost: 8 GPUs x 32 images; less than 1 % slower than MoCo v2 (paper, section 4.1).
Expected: Faster R-CNN R50-C4 on VOC07+12 58.7 AP (table 1). Not run by us.

    bash tools/dist_train.sh densecl_resnet50_8xb32_cosine_200e_imagenet 8 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/densecl_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v2_224.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/imagenet/train")),
)
