# 24 epochs (180k iterations of 16 images).
_base_ = ["mmdet::_base_/schedules/schedule_2x.py", "./runtime.py"]
