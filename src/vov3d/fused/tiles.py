"""Shapes of tiles, and how programs share them: powers of two that a GPU holds in registers (tested)."""

from __future__ import annotations

Block = dict[str, int]
Capability = tuple[int, int]
HOPPER: Capability = (9, 0)

POINTWISE = {"ROWS": 128, "INNER": 32, "COLUMNS": 64}
POINTWISE_GRADIENT = {"ROWS": 64, "INNER": 64, "COLUMNS": 64}
KEPT = 14336  # sums of a weight's gradient that a program keeps
SMALL = 4096  # values of a weight beside which all rows of a tile fit
DEPTHWISE = {"HEIGHT": 4, "WIDTH": 8, "CHANNELS": 32}
RESIDUAL = {"ROWS": 64, "COLUMNS": 64}
GATE_TILES = 16
GRADIENT_WARPS = 8
PROGRAMS = 132  # that share the gradient of a weight: one for each multiprocessor, which holds no more; Hopper has 132


def power(count: int) -> int:
    """Return the power of two, 16 or more, that holds a count."""
    return max(16, 1 << (count - 1).bit_length())


def pointwise(inner: int, channels: int, value_bytes: int = 2) -> Block:
    """Return the tile of a product of rows of ``inner`` channels with a weight."""
    block = _fitted(POINTWISE, INNER=inner, COLUMNS=channels)
    return {**block, "ROWS": block["ROWS"] // (2 if value_bytes == 4 else 1)}


def pointwise_gradient(inner: int, channels: int, value_bytes: int = 2, capability: Capability = HOPPER) -> Block:
    """Return the tile of its gradient: as many columns as a program can keep sums of; of 32-bit values fewer places."""
    block = _fitted(POINTWISE_GRADIENT, INNER=channels, COLUMNS=inner)
    if value_bytes == 4 and not _is_for_data_centres(capability):
        block["COLUMNS"] = 16
    kept = parts_of(channels, block["INNER"]) * block["INNER"]
    while block["COLUMNS"] > 16 and kept * block["COLUMNS"] > KEPT:
        block["COLUMNS"] //= 2
    is_small = kept <= block["INNER"] and inner * channels <= SMALL
    fits = is_small and inner % 4 == 0  # of rows that are not aligned a thread keeps more places
    return {**block, "ROWS": block["ROWS"] // (1 if fits else 2) // (2 if value_bytes == 4 else 1)}


def depthwise(channels: int) -> Block:
    """Return the tile of a depthwise convolution: smaller where rows of channels are not aligned."""
    return _fitted(DEPTHWISE if channels % 8 == 0 else {**DEPTHWISE, "WIDTH": 4}, CHANNELS=channels)


def depthwise_gradient(channels: int, *, separable: bool) -> Block:
    """Return the tile of its gradient, of which a thread keeps 12 sums of four values, or 27 of two."""
    return _fitted(DEPTHWISE if separable else {**DEPTHWISE, "WIDTH": 4}, CHANNELS=channels)


def residual(channels: int) -> Block:
    """Return the tile of a sum."""
    return _fitted(RESIDUAL, COLUMNS=channels)


def stages(value_bytes: int, capability: Capability) -> int:
    """Return how many tiles of a gradient there is shared memory for: of 16-bit values three in 227 KiB, else one."""
    return 3 if value_bytes == 2 and _is_for_data_centres(capability) else 1


def parts_of(size: int, length: int) -> int:
    """Return how many parts of a length cover a size."""
    return -(-size // length)


def rectangles(rows: int, columns: int, block: Block) -> int:
    """Return how many tiles cover a frame."""
    return parts_of(rows, block["HEIGHT"]) * parts_of(columns, block["WIDTH"])


def shares(num_tiles: int, blocks: int, programs: int = PROGRAMS) -> int:
    """Return how many programs share the tiles where ``blocks`` of them see each; each leaves a sum of its own."""
    return max(1, min(programs // blocks, num_tiles))


def _is_for_data_centres(capability: Capability) -> bool:
    """Whether it is of a Hopper or Blackwell GPU with 227 KiB of shared memory."""
    return capability[0] in (9, 10)


def _fitted(most: Block, **counts: int) -> Block:
    """Return a tile that holds the counts, up to the most."""
    return {axis: min(size, power(counts[axis])) if axis in counts else size for axis, size in most.items()}
