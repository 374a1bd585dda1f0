"""ORL, ResNet-50, 800 epochs of COCO train2017, 512 images a step: stages two and three.

Paper: Xie et al., Unsupervised Object-Level Representation Learning from Scene Images, arXiv 2106.11952;
settings of Jiahao000/ORL configs/selfsup/orl/coco. The network of the third stage starts anew, as there.
Cost: 8 GPUs x 64 images, about 185,000 iterations of two views of 224 px and four of 96 px, after as many of
the first stage. Mining sees every image once and up to 100 regions of it, at 224 px.
Expected: not run by us.

    bash tools/dist_train.sh byol_resnet50_8xb64_cosine_800e_coco 8 --data COCO/train2017 --work-dir WORK/stage1
    dense-cl export WORK/stage1/checkpoints/iter_184800.pth --head-layers 2 --out WORK/stage1_projecting
    dense-cl regions orl_resnet50_8xb64_cosine_800e_coco --data COCO/train2017
    dense-cl mine orl_resnet50_8xb64_cosine_800e_coco --data COCO/train2017 --backbone WORK/stage1_projecting.pth
    bash tools/dist_train.sh orl_resnet50_8xb64_cosine_800e_coco 8 --data COCO/train2017

Each command can be killed and given again: pretraining with --resume, the others as they are.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/orl_resnet50.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/views/orl_224_96.py",
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    drop_last=True,
    dataset=dict(
        type="ObjectPairDataset",
        source=dict(type="FolderSource", root="data/coco/train2017"),
        # Mining chooses among them, so all are kept that it could choose.
        regions=dict(
            type="RegionCache",
            file="work_dirs/orl_coco/selective_search.regions",
            provider=dict(type="SelectiveSearch", max_boxes=2000, max_ratio=3.0),
        ),
        pairs="work_dirs/orl_coco/pairs.npz",
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.4))
param_scheduler = [
    dict(type="WarmupCosineLR", warmup=4, end_ratio=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=512)
