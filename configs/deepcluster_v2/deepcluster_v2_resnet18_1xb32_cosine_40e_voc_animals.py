"""DeepCluster-v2, ResNet-18, 2 x 96 + 4 x 48 px, 40 epochs of 2,700 photos on two CPU cores.

Paper: Caron et al., arXiv 2006.09882, appendix, at a small scale of our own.
Cost: 3,360 iterations of 32 images of six views.
Expected: docs/results.md has what 20 epochs with two views gave; 40 were not run.

    dense-cl pretrain deepcluster_v2_resnet18_1xb32_cosine_40e_voc_animals \
        --data VOC_ANIMALS/images --annotations VOC_ANIMALS/annotations/train.json
"""

# Of the SwAV recipe all but the objective: views, schedule and data are the same.
_base_ = "../swav/swav_resnet18_1xb32_cosine_40e_voc_animals.py"
model = dict(
    objectives=[
        dict(
            type="DeepClusterV2",
            num_clusters=[100, 100, 100],
            temperature=0.1,
            num_views=6,
            num_assign_views=2,
            head=dict(type="MLPHead", hidden_channels=512, out_channels=128, norm="BN"),
        )
    ],
)
