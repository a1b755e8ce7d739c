"""The public names of hfmix: for type checkers, and for `hfmix.__getattr__`, which reads these lines."""

from hfmix import hub as hub
from hfmix import losses as losses
from hfmix import metrics as metrics
from hfmix import mixing as mixing
from hfmix import models as models
from hfmix import robustness as robustness
from hfmix.hub.download.load import load_pretrained as load_pretrained
from hfmix.hub.upload.publish import push_to_hub as push_to_hub
from hfmix.hub.verification.verify import verify as verify
from hfmix.losses.gan import mixup_discriminator_loss as mixup_discriminator_loss
from hfmix.losses.mix_loss import MixLoss as MixLoss
from hfmix.losses.mixed import mixed_binary_cross_entropy as mixed_binary_cross_entropy
from hfmix.losses.mixed import mixed_cross_entropy as mixed_cross_entropy
from hfmix.mixing.collators import BatchMixer as BatchMixer
from hfmix.mixing.collators import MixCollator as MixCollator
from hfmix.mixing.plan import MixPlan as MixPlan
from hfmix.mixing.policies import ERM as ERM
from hfmix.mixing.policies import CutMix as CutMix
from hfmix.mixing.policies import DirichletMixup as DirichletMixup
from hfmix.mixing.policies import InputMixup as InputMixup
from hfmix.mixing.policies import ManifoldMixup as ManifoldMixup
from hfmix.mixing.policies import Mixup as Mixup
from hfmix.mixing.policies import OneOf as OneOf
from hfmix.mixing.policies import Policy as Policy
from hfmix.mixing.policies import RegMixup as RegMixup
from hfmix.mixing.policies import ResizeMix as ResizeMix
from hfmix.mixing.policies import TimeCutMix as TimeCutMix
from hfmix.mixing.policies import get_policy as get_policy
from hfmix.mixing.policies import policy_from_dict as policy_from_dict
from hfmix.mixing.schedule import Schedule as Schedule
from hfmix.mixing.targets import MixedTargets as MixedTargets
from hfmix.models import loading as loading
from hfmix.models.loading import load_backbone as load_backbone
from hfmix.robustness.corruptions import corruption_names as corruption_names
from hfmix.robustness.corruptions.image import corrupt as corrupt
from hfmix.robustness.evaluate import evaluate_robustness as evaluate_robustness
from hfmix.robustness.report import RobustnessReport as RobustnessReport
from hfmix.training.arguments import MixTrainingArguments as MixTrainingArguments
from hfmix.training.trainer import MixTrainer as MixTrainer

__version__: str
