"""CAST on MoCo v2, ResNet-50, 200 epochs of COCO train2017: saliency crops and attention.

Paper: Selvaraju et al., CASTing Your Model: Learning to Localize Improves Self-Supervised
Representations, CVPR 2021, arXiv 2012.04630; learning rate, weights and clipping of the command in
the README of salesforce/CAST, epochs of its main_cast.py. That command has MoCo v1's head and
T = 0.07, and masks of DeepUSPS; here it is MoCo v2, and saliency that no label went into.
Cost: 8 GPUs x 32 images, about 92,000 iterations, each some 1.33 of MoCo v2 (docs/cast.md).
Expected: not run by us.

    dense-cl saliency cast_resnet50_8xb32_cosine_200e_coco --data COCO/train2017
    bash tools/dist_train.sh cast_resnet50_8xb32_cosine_200e_coco 8 --data COCO/train2017
"""

_base_ = "../moco_v2/moco_v2_resnet50_8xb32_cosine_800e_coco.py"

# The crops keep scale and ratio, and show at least a fifth of what is salient.
_group = _base_.train_dataloader.dataset.views[0]
_group.crop.type = "SaliencyCrop"
train_dataloader = dict(
    dataset=dict(
        views=[_group],
        saliency=dict(
            type="RegionCache",
            file="data/coco/robust_background.saliency",
            provider=dict(type="RobustBackground"),
        ),
    )
)
# lambda = 3: beta / (alpha + beta) = 1/4 and alpha / (alpha + beta) = 3/4. The sum with weights 1 and 3
# is 4 times as large; to SGD that is a learning rate 4 times as high.
_contrast = _base_.model.objectives[0]
_contrast.weight = 0.25
model = dict(
    objectives=[_contrast, dict(type="GradCAMAttention", layer="layer4", weight=0.75)],
)
optim_wrapper = dict(optimizer=dict(lr=0.5), clip_grad=dict(max_norm=2.0))
train_cfg = dict(max_epochs=200)
