"""MoCo v2, ResNet-50, 800 epochs of COCO train2017: the baseline of DenseCL's tables.

Paper: Chen et al., arXiv 2003.04297; COCO schedule of Wang et al. (DenseCL), arXiv 2011.09157,
section 4.1: SGD 0.3, weight decay 1e-4, 256 images, cosine.
Cost: 8 GPUs x 32 images, about 370,000 iterations.
Expected: Faster R-CNN R50-C4 on VOC07+12 54.7 AP (DenseCL, table 1). Not run by us.

    bash tools/dist_train.sh moco_v2_resnet50_8xb32_cosine_800e_coco 8 --data COCO/train2017
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/moco_v2_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/moco_v2_224.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/coco/train2017")),
)
optim_wrapper = dict(optimizer=dict(lr=0.3))
train_cfg = dict(max_epochs=800)
