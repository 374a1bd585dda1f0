"""PixPro, ResNet-50, 100 epochs of ImageNet-1k, 1,024 images a step.

Paper: Xie et al., Propagate Yourself, arXiv 2011.10043; settings of zdaxie/PixPro
    tools/pixpro_base_r50_100ep.sh, whose warm-up begins at a hundredth of the rate, not at 0.
Cost: 8 GPUs x 128 images.
Expected: Faster R-CNN R50-C4 on VOC07+12 58.8 AP, Mask R-CNN R50-FPN 1x on COCO 40.8 box AP
    (zdaxie/PixPro README.md); 60.2 AP on VOC after 400 epochs. Not run by us.

    bash tools/dist_train.sh pixpro_resnet50_8xb128_cosine_100e_imagenet 8 --data IMAGENET/train
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/pixpro_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/byol_224.py",
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/imagenet/train"),
    ),
)
# 1.0 x 1024 / 256.
optim_wrapper = dict(optimizer=dict(lr=4.0, weight_decay=1e-5))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=1024)
param_scheduler = _base_.param_scheduler
param_scheduler[0].warmup = 5
