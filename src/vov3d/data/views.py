"""The test views of a video: its frames as bytes, each of them once, and the views to be cut out of them.

Ten clips of three crops are 30 views, 380 MB of numbers, of frames that are 40 MB of bytes. So a worker hands over the
bytes, and the views are made where they are used: on the GPU, where that costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from vov3d.data.transforms import empty_clip, normalise
from vov3d.data.video import VideoInfo

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Views:
    """All test views of one video; view v is crop v mod num_crops of clip v div num_crops.

    Args:
        frames: the frames that the views show, each once, uint8 [U, 3, H, W].
        places: of the frames of each view in `frames`, int64 [V, T].
        corners: top left corner (y, x) of each view, in pixels.
        crop: side of the square that is cut out, in pixels.
        mean: subtracted from the pixels, on the scale of 0 to 1.
        std: divides the pixels.
        label: the class of the video, -1 for none.
        index: its place in the split.
        info: what is known of the video.
    """

    frames: torch.Tensor
    places: torch.Tensor
    corners: tuple[tuple[int, int], ...]
    crop: int
    mean: float
    std: float
    label: int
    index: int
    info: VideoInfo

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def views(self) -> torch.Tensor:
        """All views on the CPU, float32 [V, 3, T, crop, crop], channels-last in memory."""
        return self.on(CPU)

    def pin_memory(self) -> Views:
        """Return them in memory from which a GPU reads while the processor does something else."""
        return replace(self, frames=self.frames.pin_memory(), places=self.places.pin_memory())

    def to(self, device: torch.device) -> Views:
        """Return them with their bytes on a device; out of pinned memory nobody waits for that."""
        moved = [part.to(device, non_blocking=True) for part in (self.frames, self.places)]
        return replace(self, frames=moved[0], places=moved[1])

    def split(self, most: int) -> list[Views]:
        """Return them in as few parts of at most so many views as can be, of about the same size."""
        num_parts = -(-len(self) // most)
        ends = [len(self) * part // num_parts for part in range(num_parts + 1)]
        return [
            replace(self, places=self.places[first:last], corners=self.corners[first:last])
            for first, last in pairwise(ends)
        ]

    def on(self, device: torch.device) -> torch.Tensor:
        """Make all views on a device, float32 [V, 3, T, crop, crop], channels-last in memory."""
        num_views, num_frames = self.places.shape
        views = empty_clip((num_views, num_frames, self.crop, self.crop, 3), device).permute(0, 4, 1, 2, 3)
        if device.type == "cpu":
            self._fill_by_frame(views)
        else:
            self._fill_by_view(views)
        return views

    def _fill_by_frame(self, views: torch.Tensor) -> None:
        """Normalise each frame once, and copy out of it what every view shows while the processor's cache holds it."""
        uses: list[list[tuple[int, int]]] = [[] for _ in self.frames]
        for view, row in enumerate(self.places.tolist()):
            for time, place in enumerate(row):
                uses[place].append((view, time))
        for frame, shown in zip(self.frames, uses, strict=True):
            if not shown:
                continue
            picture = normalise(frame[None], self.mean, self.std)[:, 0]
            for view, time in shown:
                y, x = self.corners[view]
                views[view, :, time] = picture[:, y : y + self.crop, x : x + self.crop]

    def _fill_by_view(self, views: torch.Tensor) -> None:
        """Few large steps, as a GPU likes it."""
        frames, places = self.frames.to(views.device), self.places.to(views.device)
        for view, (y, x) in enumerate(self.corners):
            cut = frames[..., y : y + self.crop, x : x + self.crop][places[view]]
            views[view] = normalise(cut, self.mean, self.std)
