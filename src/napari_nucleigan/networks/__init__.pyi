from .registry import build as build
from .registry import build_synthesizer as build_synthesizer
