# moco_v2_resnet50.py for a few thousand images: ResNet-18, a head of its width, a queue shorter
# than the data set (or images meet their own older views as negatives), and a target that
# follows faster, since the whole run has as many steps as paper-scale ones have in an epoch. The
# temperature is 0.05, not 0.2: measured, see docs/results.md.
_base_ = "moco_v2_resnet50.py"
model = dict(
    backbone=dict(depth=18),
    target=dict(ema_decay=0.99),
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=1024,
            temperature=0.05,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128),
        )
    ],
)
