from .recipe_files import read_recipe as read_recipe
from .recipes import RECIPES as RECIPES
from .recipes import SegmenterRecipe as SegmenterRecipe
from .recipes import SynthesizerRecipe as SynthesizerRecipe
from .runs.run_folder import RunFolder as RunFolder
from .segmenter import train_segmenter as train_segmenter
from .synthesizer import train_synthesizer as train_synthesizer
