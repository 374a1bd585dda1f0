"""BYOL without batch statistics, ResNet-18, 96 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Richemond et al., arXiv 2010.10241, at a small scale of our own.
Cost: 3,360 iterations of 32 images.
Expected: see docs/results.md.

    dense-cl pretrain byol_resnet18_gn_ws_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

_base_ = "byol_resnet18_1xb32_cosine_40e_voc_animals.py"
# All of this keeps it from collapsing. With BYOL's recipe and heads that are not standardised all
# projections are equal after 50 iterations; standardised, after 40. Slower target, smaller rate,
# faster predictor: the spread stays a quarter of that of random unit vectors.
model = dict(
    backbone=dict(norm="GN", standardize_weights=True),
    target=dict(ema_decay=dict(start=0.996)),
    objectives=[
        dict(
            type="BYOL",
            head=dict(
                type="MLPHead",
                hidden_channels=512,
                out_channels=256,
                norm="GN",
                standardize_weights=True,
            ),
            predictor=dict(hidden_channels=512, norm="GN", standardize_weights=True),
        )
    ],
)
optim_wrapper = dict(
    optimizer=dict(lr=0.003),
    paramwise_cfg=dict(custom_keys={".predictor.": dict(lr_mult=10.0)}),
)
