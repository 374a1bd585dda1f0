"""DeepCluster-v2, ResNet-50, 800 epochs of ImageNet-1k, 4,096 images a step, eight views each.

Paper: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments,
    arXiv 2006.09882, appendix.
Cost: 64 processes x 64 images; 1.3 GB of every process for the embeddings of all images.
Expected: 75.2 % linear top-1 (facebookresearch/swav README.md). Not run by us.

    bash tools/dist_train.sh deepcluster_v2_resnet50_64xb64_cosine_800e_imagenet 64 \
        --data IMAGENET/train
"""

# The authors train it as they train SwAV (scripts/deepclusterv2_800ep_pretrain.sh).
_base_ = "../swav/swav_resnet50_64xb64_cosine_800e_imagenet.py"
model = dict(
    objectives=[
        dict(
            type="DeepClusterV2",
            num_clusters=[3000, 3000, 3000],
            temperature=0.1,
            num_views=8,
            num_assign_views=2,
            head=dict(type="MLPHead", hidden_channels=2048, out_channels=128, norm="SyncBN"),
        )
    ],
)
