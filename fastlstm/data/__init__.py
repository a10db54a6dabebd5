"""Data that are read batch by batch: larger than memory, windows over series, unequal lengths."""

from fastlstm.data.batch import Batch
from fastlstm.data.dataset import Dataset, timeseries_dataset_from_array
from fastlstm.data.windows import sliding_windows

__all__ = ["Batch", "Dataset", "sliding_windows", "timeseries_dataset_from_array"]
