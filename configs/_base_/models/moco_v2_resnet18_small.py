# moco_v2_resnet50.py for a few thousand images and a few thousand steps: ResNet-18, a head of its width,
# and three settings that were measured (docs/results.md). The queue is short and the target slower than
# the length of the run asks for, so that keys of the queue are hard to tell from new ones by their age:
# in 4 steps (128 / 32) the target moves 1.6 % of the way to the encoder, with 1,024 keys and a decay of
# 0.99 it was 27 %. And the temperature is 0.05 instead of 0.2.
_base_ = "moco_v2_resnet50.py"
model = dict(
    backbone=dict(depth=18),
    target=dict(ema_decay=0.996),
    objectives=[
        dict(
            type="InfoNCE",
            queue_size=128,
            temperature=0.05,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128),
        )
    ],
)
