"""Packed sets: the videos of a data set one after another in a few large tar files (WebDataset's layout).

A set is a folder, or a place in an object store, with `pack.json` and the shards `train-000000.tar`, ... A shard holds
for each video `KEY.json` (its name and labels, for other readers) beside `KEY.mp4`, the file as it was, or beside its
frames `KEY.000000.jpg`, ... `pack.json` says where in which shard each video of each split lies, in the order of the
splits that were packed.
"""

from __future__ import annotations
