"""MoCo v3, ViT-S/16 with twelve heads, 300 epochs of ImageNet-1k, 4,096 images a step.

Paper: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, arXiv 2104.02057.
Cost: 32 GPUs x 128 images (the authors' CONFIG.md).
Expected: 73.2 % linear top-1 (the authors' CONFIG.md). Not run by us.

    bash tools/dist_train.sh moco_v3_vit_small_32xb128_cosine_300e_imagenet 32 --data IMAGENET/train
"""

_base_ = "moco_v3_vit_base_64xb64_cosine_300e_imagenet.py"
# timm's ViT-S has six heads, the authors' twelve (vits.py).
model = dict(backbone=dict(model_name="vit_small_patch16_224", num_heads=12))
train_dataloader = dict(batch_size=128)
