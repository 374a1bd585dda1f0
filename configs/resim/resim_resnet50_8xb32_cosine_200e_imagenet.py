"""ReSim-FPN, ResNet-50, 200 epochs of ImageNet-1k.

Paper: Xiao et al., Region Similarity Representation Learning, arXiv 2103.12902; settings of the command in
the README of Tete-Xiao/ReSim: SGD 0.03, weight decay 1e-4, 256 images, cosine.
Cost: 8 GPUs x 32 images, about 1,000,000 iterations.
Expected: Mask R-CNN R50-FPN on COCO (2x) 41.4 box AP (README of Tete-Xiao/ReSim). Not run by us.

    bash tools/dist_train.sh resim_resnet50_8xb32_cosine_200e_imagenet 8 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/resim_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/resim_224.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    dataset=dict(type="ViewDataset", source=dict(type="FolderSource", root="data/imagenet/train")),
)
optim_wrapper = dict(optimizer=dict(lr=0.03))
train_cfg = dict(max_epochs=200)
