"""UPerNet, ResNet-50, ADE20K, 80,000 iterations.

Paper: Xiao et al., arXiv 1807.10221; settings of MMSegmentation's upernet_r50_4xb4-80k_ade20k-512x512
except for the stem, which is that of pretraining. ``--iterations 160000`` is the other usual length.
Cost: 80k iterations of 16 crops of 512x512 pixels, 4 GPUs.
Expected: mIoU 40.7 on val from supervised ImageNet weights with another stem (MMSegmentation's model
zoo). Not run here.

    torchrun --nproc_per_node 4 -m dense_cl.cli evaluate segmentation-fine-tuning \
        upernet_resnet50_4xb4_poly_80k_ade20k --launcher pytorch --backbone backbone.pth --out result.json
"""

_base_ = ["./_base_/upernet.py", "./_base_/ade20k.py", "./_base_/schedule_80k.py"]
