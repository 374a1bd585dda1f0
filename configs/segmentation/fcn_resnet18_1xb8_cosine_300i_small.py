"""FCN small. Cost: Expected: fcn_resnet18_1xb8_cosine_300i_small"""

_base_ = ["./_base_/small_fcn.py", "./_base_/small_data.py", "./_base_/small_schedule.py"]
