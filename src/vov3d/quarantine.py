"""Training videos that turned out broken: named, counted, never replaced, and too many of them end the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vov3d.errors import DataError

if TYPE_CHECKING:
    from vov3d.data.dataset import Batch
    from vov3d.distributed import ProcessGroup
    from vov3d.run_folder import RunFolder

log = logging.getLogger("vov3d")


class Quarantine:
    """The broken videos of a run; all processes know the same.

    Args:
        folder: holds ``quarantine.csv``.
        group: the processes.
        num_videos: training videos.
        max_broken: fraction of them that may turn out broken; one always may, unless this is 0.

    Attributes:
        reasons: path -> why the video cannot be decoded, by path.
    """

    def __init__(self, folder: RunFolder, group: ProcessGroup, num_videos: int, max_broken: float) -> None:
        self.reasons: dict[str, str] = {}
        self._folder, self._group, self._num_videos, self._max_broken = folder, group, num_videos, max_broken

    def __len__(self) -> int:
        return len(self.reasons)

    def restore(self, reasons: Mapping[str, str]) -> None:
        """Take the broken videos of a run that goes on."""
        self.reasons = dict(reasons)

    def add(self, batch: Batch) -> None:
        """Add the videos that any process could not decode, each with its share of the batch.

        Raises:
            DataError: in every process, if they are too many.
        """
        for broken in self._group.gather(list(batch.broken)):
            if str(broken.path) not in self.reasons:
                self.reasons[str(broken.path)] = broken.reason
                if self._group.is_main:
                    log.warning("quarantined: %s: %s", broken.path, broken.reason)
        self.reasons = dict(sorted(self.reasons.items()))
        self._group.from_main(lambda: self._folder.write_quarantine(self.reasons))
        limit, total = self._max_broken, self._num_videos
        if len(self.reasons) > max(int(limit > 0), int(limit * total)):
            path, reason = next(iter(self.reasons.items()))
            raise DataError(
                f"{len(self.reasons)} of {total} training videos cannot be decoded, more than the {limit:.4g} that "
                f"--max-broken allows; the first: {path}: {reason}; all are in "
                f"{str(self._folder.path / 'quarantine.csv')!r}"
            )
