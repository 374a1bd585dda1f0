"""TODO"""

_base_ = ["./_base_/small_fcn.py", "./_base_/small_data.py", "./_base_/small_schedule.py"]
