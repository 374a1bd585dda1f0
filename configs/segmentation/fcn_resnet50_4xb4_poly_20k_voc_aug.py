"""FCN, ResNet-50 dilated to stride 8, PASCAL VOC 2012 with the additional annotations, 20,000 iterations.

Paper: Wang et al. (DenseCL), arXiv 2011.09157; settings of MMSegmentation's
fcn_r50-d8_4xb4-20k_voc12aug-512x512 except for the stem, which is that of pretraining.
Cost: 20k iterations of 16 crops of 512x512 pixels, 4 GPUs.
Expected: mIoU on val (the authors' README, mean of five runs): 67.5 for DenseCL and 64.5 for MoCo v2,
both 800 epochs of COCO; 67.7 for supervised ImageNet weights. Not run here.

    torchrun --nproc_per_node 4 -m dense_cl.cli evaluate segmentation-fine-tuning \
        fcn_resnet50_4xb4_poly_20k_voc_aug --launcher pytorch --backbone backbone.pth --out result.json
"""

_base_ = ["./_base_/fcn.py", "./_base_/voc_aug.py", "./_base_/schedule_20k.py"]
