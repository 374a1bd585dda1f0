# Leopart (Ziegler and Asano, arXiv 2204.13101; MkuuWaUjinga/leopart experiments/configs/train_coco_config.yml):
# DINO's ViT-S/16 (timm downloads it), three layers of 2,048 to 256 on every patch, 300 prototypes, a queue of
# 8,192, decay 0.9995 to 1; it expects the six views of leopart_224_96.py.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(
        type="TimmBackbone",
        model_name="vit_small_patch16_224.dino",
        pretrained=True,
        class_token=True,  # keeps the final norm, behind which the patches are clustered
        drop_path_rate=0.1,
    ),
    target=dict(ema_decay=dict(kind="cosine", start=0.9995, end=1.0)),
    shuffle_bn=False,  # there are no batch statistics
    objectives=[
        dict(
            type="Leopart",
            num_prototypes=300,
            temperature=0.1,
            epsilon=0.05,
            sinkhorn_iterations=3,
            num_views=6,
            num_assign_views=2,
            grid_size=7,
            queue_size=8192,
            head=dict(
                type="MLPHead",
                hidden_channels=2048,
                out_channels=256,
                num_layers=3,
                activation="GELU",
            ),
        )
    ],
)
