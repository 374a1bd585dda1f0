"""Methods as objectives; importing the package registers them."""

from dense_cl.objectives.base import Objective
from dense_cl.objectives.image.barlow_twins import BarlowTwins
from dense_cl.objectives.image.byol import BYOL
from dense_cl.objectives.image.deepcluster_v2 import DeepClusterV2
from dense_cl.objectives.image.distillation import Distillation
from dense_cl.objectives.image.info_nce import InfoNCE
from dense_cl.objectives.image.moco_v3 import MoCoV3
from dense_cl.objectives.image.simclr import SimCLR
from dense_cl.objectives.image.simsiam import SimSiam
from dense_cl.objectives.image.swav import SwAV
from dense_cl.objectives.image.vicreg import VICReg
from dense_cl.objectives.localization.grad_cam_attention import GradCAMAttention
from dense_cl.objectives.pixel.dense_info_nce import DenseInfoNCE
from dense_cl.objectives.pixel.pixcontrast import PixContrast
from dense_cl.objectives.pixel.pixpro import PixPro
from dense_cl.objectives.pixel.vicregl import VICRegL
from dense_cl.objectives.region.detcon import DetConB, DetConS
from dense_cl.objectives.region.leopart import Leopart
from dense_cl.objectives.region.orl import ORL
from dense_cl.objectives.region.resim import ReSim
from dense_cl.objectives.region.slotcon import SlotCon
from dense_cl.objectives.region.soco import SoCo

__all__ = [
    "BYOL",
    "BarlowTwins",
    "DeepClusterV2",
    "DenseInfoNCE",
    "DetConB",
    "DetConS",
    "Distillation",
    "GradCAMAttention",
    "InfoNCE",
    "Leopart",
    "MoCoV3",
    "ORL",
    "Objective",
    "PixContrast",
    "PixPro",
    "ReSim",
    "SimCLR",
    "SimSiam",
    "SlotCon",
    "SoCo",
    "SwAV",
    "VICReg",
    "VICRegL",
]
