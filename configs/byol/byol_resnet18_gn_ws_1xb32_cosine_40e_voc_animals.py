"""BYOL without batch statistics, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Richemond et al., arXiv 2010.10241, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: it collapses at this size: all projections equal and the alarm at iteration 51, with the SGD below as with AdamW at
1e-3 (seed 0). No setting that does not has been found yet.

    dense-cl pretrain byol_resnet18_gn_ws_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

_base_ = "byol_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    backbone=dict(norm="GN", standardize_weights=True),
    objectives=[
        dict(
            type="BYOL",
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="GN"),
            predictor=dict(hidden_channels=512, norm="GN"),
        )
    ],
)
