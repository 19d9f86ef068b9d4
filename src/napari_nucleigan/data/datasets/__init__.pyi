from .dataset import Dataset as Dataset
from .dataset import read_split as read_split
from .formats.exporting import export_dataset as export_dataset
from .formats.importing import import_dataset as import_dataset
