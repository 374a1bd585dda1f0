"""ORL, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores: stages two and three.

Paper: Xie et al., arXiv 2106.11952, at a small scale of our own: patches of 48 px, regions of at least 48 px in
photos of 320 (the paper's 96 in 640), which mining sees at 96 px.
Cost: 3,360 iterations of 32 images, two views of 96 px and four of 48 px, after as many of the first stage.
Expected: docs/results.md has what 20 epochs gave; 40 were not run.

    dense-cl pretrain byol_resnet18_1xb32_cosine_40e_voc_animals --work-dir WORK/stage1 \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl export WORK/stage1/checkpoints/iter_3360.pth --head-layers 2 --out WORK/stage1_projecting
    dense-cl regions orl_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl mine orl_resnet18_1xb32_cosine_40e_voc_animals --backbone WORK/stage1_projecting.pth \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
    dense-cl pretrain orl_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json

Each command can be killed and given again: pretraining with --resume, the others as they are.
"""

_base_ = "../moco_v2/moco_v2_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0), _delete_=True),
    objectives=[
        dict(
            type="ORL",
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            predictor=dict(hidden_channels=512, norm="BN"),
        )
    ],
)
# Both patches of a pair are augmented as the views are.
_patch = dict(
    type="PatchGroup",
    size=(48, 48),
    transforms=[
        dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
        dict(type="ToGray", p=0.2),
        dict(type="GaussianBlur", sigma_limit=(0.1, 0.9), blur_limit=0, p=0.5),
        dict(type="HorizontalFlip", p=0.5),
    ],
)
train_dataloader = dict(
    dataset=dict(
        type="ObjectPairDataset",
        patches=[_patch, _patch],
        regions=dict(
            type="RegionCache",
            file="work_dirs/orl_voc_animals/selective_search.regions",
            provider=dict(type="SelectiveSearch", max_boxes=2000, max_ratio=3.0),
        ),
        mining=dict(min_size=48, size=96),
        pairs="work_dirs/orl_voc_animals/pairs.npz",
    )
)
