from .dataset import Dataset as Dataset
from .formats.exchange import export_dataset as export_dataset
from .formats.exchange import import_dataset as import_dataset
from .splits import read_split as read_split
