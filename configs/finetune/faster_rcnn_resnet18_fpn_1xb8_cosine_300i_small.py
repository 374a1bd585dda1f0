_base_ = [
    "./_base_/small_faster_rcnn.py",
    "./_base_/small_data.py",
    "./_base_/small_schedule.py",
]
