_base_ = [
    "./_base_/small_retinanet.py",
    "./_base_/small_data.py",
    "./_base_/small_schedule.py",
]
