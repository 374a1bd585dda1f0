"""SwAV with a queue, ResNet-50, 200 epochs of ImageNet-1k, 256 images a step: one machine of four GPUs.

Paper: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments,
    arXiv 2006.09882.
Cost: 4 processes x 64 images of eight views.
Expected: 72.7 % linear top-1 (facebookresearch/swav README.md). Not run by us.

    bash tools/dist_train.sh swav_resnet50_4xb64_cosine_200e_imagenet 4 --data IMAGENET/train
"""

_base_ = "swav_resnet50_64xb64_cosine_800e_imagenet.py"
# The queue begins with epoch 15, which is 15 x 5,004 steps; the prototypes learn after the first.
model = dict(
    objectives=[
        dict(
            type="SwAV",
            num_prototypes=3000,
            temperature=0.1,
            epsilon=0.05,
            sinkhorn_iterations=3,
            num_views=8,
            num_assign_views=2,
            freeze_steps=5005,
            queue_size=3840,
            queue_start=75060,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128, norm="SyncBN"),
        )
    ],
)
# No warm-up (the authors' scripts/swav_200ep_bs256_pretrain.sh).
optim_wrapper = dict(optimizer=dict(lr=0.6))
param_scheduler = [
    dict(type="CosineAnnealingLR", eta_min=0.0006, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
