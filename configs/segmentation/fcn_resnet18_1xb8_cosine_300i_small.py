"""FCN, ResNet-18, any photos and masks, within 320x240 pixels, 300 iterations.

A small recipe of our own, for a machine without a GPU.
Cost: about 5 minutes on one CPU core with bfloat16 (0.95 core-seconds an iteration, 1.7 in float32),
some more for large photos.
Expected: see docs/evaluation.md for CamVid from random weights; others were not run.

    dense-cl evaluate segmentation-fine-tuning fcn_resnet18_1xb8_cosine_300i_small \
        --backbone backbone.pth --train-images DIR --train-masks DIR --test-images DIR --test-masks DIR \
        --classes NAMES.txt --ignore 255 --out result.json
"""

_base_ = ["./_base_/small_fcn.py", "./_base_/small_data.py", "./_base_/small_schedule.py"]
