from . import polygons as polygons
from .encoding import decode as decode
from .encoding import encode as encode
