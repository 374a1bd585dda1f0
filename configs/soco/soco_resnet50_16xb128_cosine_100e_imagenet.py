"""SoCo, ResNet-50-FPN with a 4conv1fc box head, 100 epochs of ImageNet-1k, 2,048 images a step.

Paper: Wei et al., Aligning Pretraining for Detection via Object-Level Contrastive Learning, arXiv
2106.02637; settings of tools/SoCo_FPN_100ep.sh in hologerry/SoCo.
Cost: 16 processes x 128 images, after a selective search of all images.
Expected: Mask R-CNN R50-FPN on COCO (1x) 42.3 box AP, 37.6 mask AP (README of hologerry/SoCo). Not run by us.

    dense-cl regions soco_resnet50_16xb128_cosine_100e_imagenet --data IMAGENET/train
    bash tools/dist_train.sh soco_resnet50_16xb128_cosine_100e_imagenet 16 --data IMAGENET/train

Pyramid and box head are in the exported file, and mask_rcnn_resnet50_fpn_8xb2_step_12e_coco takes them over.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/soco_resnet50.py",
    "../_base_/schedules/lars_cosine.py",
    "../_base_/views/soco_224_112.py",
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(type="FolderSource", root="data/imagenet/train"),
        regions=dict(
            type="RegionCache",
            file="data/imagenet/selective_search.regions",
            # Sides no longer than 3 times each other, sizes of 0.3 to 0.8 of the image's.
            provider=dict(type="SelectiveSearch", size=(0.3, 0.8), max_ratio=3.0),
        ),
    ),
)
# 1.0 x 2048 / 256.
optim_wrapper = dict(optimizer=dict(lr=8.0, weight_decay=1e-5))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=2048)
