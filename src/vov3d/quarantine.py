"""Videos of a run that turned out broken: named, counted, never replaced, and too many of them end the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from vov3d.errors import DataError

if TYPE_CHECKING:
    from vov3d.distributed import ProcessGroup
    from vov3d.run_folder import RunFolder

TRAIN, VAL = "training", "validation"

log = logging.getLogger("vov3d")


class BrokenVideo(Protocol):
    """A video that cannot be decoded."""

    @property
    def path(self) -> str:
        """Where it lies."""

    @property
    def reason(self) -> str:
        """Why, in one line."""


class Quarantine:
    """The broken videos of a run; all processes know the same.

    Args:
        folder: holds ``quarantine.csv``.
        group: the processes.
        num_videos: of `TRAIN` and of `VAL`.
        max_broken: fraction of each that may turn out broken; one always may, unless this is 0.

    Attributes:
        found: `TRAIN` or `VAL` -> path -> why the video cannot be decoded, by path.
    """

    def __init__(
        self, folder: RunFolder, group: ProcessGroup, num_videos: Mapping[str, int], max_broken: float
    ) -> None:
        self.found: dict[str, dict[str, str]] = {split: {} for split in num_videos}
        self._folder, self._group, self._num_videos, self._max_broken = folder, group, num_videos, max_broken

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def reasons(self) -> dict[str, str]:
        """Path -> why the video cannot be decoded, by path."""
        return dict(sorted((path, reason) for found in self.found.values() for path, reason in found.items()))

    def restore(self, found: Mapping[str, Mapping[str, str]]) -> None:
        """Take the broken videos of a run that goes on."""
        self.found = {split: dict(found[split]) for split in self._num_videos}

    def write(self) -> None:
        """Write ``quarantine.csv``, in the first process."""
        self._group.from_main(lambda: self._folder.write_quarantine(self.reasons))

    def add(self, split: str, videos: Iterable[BrokenVideo]) -> None:
        """Add videos that any process could not decode; those that are known already change nothing.

        Args:
            split: `TRAIN` or `VAL`.
            videos: the same in all processes.

        Raises:
            DataError: in every process, if the split has too many.
        """
        found = self.found[split]
        for video in videos:
            if video.path not in found:
                found[video.path] = video.reason
                if self._group.is_main:
                    log.warning("quarantined: %s: %s", video.path, video.reason)
        self.write()
        limit, total = self._max_broken, self._num_videos[split]
        if len(found) > max(int(limit > 0), int(limit * total)):
            path, reason = min(found.items())
            raise DataError(
                f"{len(found)} of {total} {split} videos cannot be decoded, more than the {limit:.4g} that "
                f"--max-broken allows; the first: {path}: {reason}; all are in "
                f"{str(self._folder.path / 'quarantine.csv')!r}"
            )
