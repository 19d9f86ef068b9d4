from .estimate import AdaptationEstimate as AdaptationEstimate
from .estimate import estimate_adaptation as estimate_adaptation
from .job import adapt as adapt
from .measure import Measurements as Measurements
from .report import Adaptation as Adaptation
from .report import write_adaptation_report as write_adaptation_report
from .settings import METHODS as METHODS
from .settings import AdaptationSettings as AdaptationSettings
