"""BYOL as it collapses: no predictor and no averaging, one epoch of 2,700 photos on two CPU cores.

Paper: Grill et al., arXiv 2006.07733; Chen and He (arXiv 2011.10566, section 2) quote 0.3 % top-1 for BYOL
without its momentum encoder, table 5 of the paper.
Cost: 84 iterations of 32 images.
Expected: all projections nearly equal after about 40 iterations, the alarm of complete collapse at iteration 51 (seed 0).

    dense-cl pretrain byol_resnet18_1xb32_cosine_1e_voc_animals_collapse \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the BYOL recipe all but what keeps it from collapsing. Without a predictor the loss of both directions
# has the gradient of the plain distance of the two projections, which equal projections minimise.
_base_ = "byol_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    target=dict(ema_decay=0.0, _delete_=True),
    objectives=[
        dict(
            type="BYOL",
            head=dict(type="MLPHead", hidden_channels=512, out_channels=256, norm="BN"),
            predictor=dict(num_layers=0),
        )
    ],
)
train_cfg = dict(max_epochs=1)
