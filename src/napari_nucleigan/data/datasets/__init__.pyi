from .dataset import Dataset as Dataset
from .dataset import read_split as read_split
from .formats.exchange import export_dataset as export_dataset
from .formats.exchange import import_dataset as import_dataset
