# 12 epochs (90k iterations of 16 images), as "1x" is used since Detectron.
_base_ = ["mmdet::_base_/schedules/schedule_1x.py", "./runtime.py"]
