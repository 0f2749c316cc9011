"""The device that the GPU benchmark runs on; imported before anything that imports Triton."""

from __future__ import annotations

import os

import torch

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
if not ON_GPU:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton reads it once; its kernels then run without a GPU
