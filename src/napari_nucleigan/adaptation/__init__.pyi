from .adapt import METHODS as METHODS
from .adapt import adapt as adapt
from .report import Adaptation as Adaptation
from .report import write_adaptation_report as write_adaptation_report
