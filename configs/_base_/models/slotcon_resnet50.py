# SlotCon (Wen et al., arXiv 2205.15288; CVMI-Lab/SlotCon main_pretrain.py): three layers of 4,096 to 256 on
# every cell and on slots, 256 prototypes, temperatures 0.1 and 0.07, decay 0.99 to 1.
model = dict(
    type="Learner",
    data_preprocessor=dict(
        type="ViewPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="ResNet", depth=50, norm="SyncBN", zero_init_residual=True),
    target=dict(ema_decay=dict(kind="cosine", start=0.99, end=1.0)),
    shuffle_bn=False,  # statistics are synchronised instead
    objectives=[
        dict(
            type="SlotCon",
            num_prototypes=256,
            student_temperature=0.1,
            teacher_temperature=0.07,
            contrast_temperature=0.2,
            center_momentum=0.9,
            grouping_weight=0.5,
            head=dict(
                type="MLPHead",
                hidden_channels=4096,
                out_channels=256,
                num_layers=3,
                norm="SyncBN",
                activation="GELU",
            ),
            predictor=dict(hidden_channels=4096, num_layers=3, norm="SyncBN", activation="GELU"),
        )
    ],
)
