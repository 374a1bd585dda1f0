"""SoCo, ResNet-18-FPN with a narrow box head, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Wei et al., arXiv 2106.02637, at a small scale of our own.
Cost: 3,360 iterations of 32 images, after a selective search of all photos.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl regions soco_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain soco_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json

Pyramid and box head are in the exported file, and faster_rcnn_resnet18_fpn_1xb4_cosine_1200i_small and
mask_rcnn_resnet18_fpn_1xb4_cosine_1200i_small take them over.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/soco_resnet18_small.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/views/soco_96_48.py",
]
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    drop_last=True,
    dataset=dict(
        type="ViewDataset",
        source=dict(
            type="CocoSource",
            annotations="data/voc_animals/annotations/train.json",
            image_root="data/voc_animals/images",
        ),
        regions=dict(
            type="RegionCache",
            file="data/voc_animals/selective_search.regions",
            # Sides no longer than 3 times each other, sizes of 0.3 to 0.8 of the image's.
            provider=dict(type="SelectiveSearch", size=(0.3, 0.8), max_ratio=3.0),
        ),
    ),
)
auto_scale_lr = dict(base_batch_size=32)
train_cfg = dict(max_epochs=40)
default_hooks = dict(checkpoint=dict(interval=5))
