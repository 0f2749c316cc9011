"""How a published naming is written down: our name of each entry of a state dict, and theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

COUNTER = "num_batches_tracked"
"""Counts of batches, which change nothing and which old files lack."""


@dataclass(frozen=True)
class Layout:
    """The names that one library, or one repository, gives to the entries of a network's state dict.

    Shapes may differ from ours by axes of length one: 2D kernels are 3D ones of a single frame.

    Attributes:
        title: whose naming it is.
        names: network -> our name -> published name of every entry that such a file has; empty if there are no such
            files of this network.
        classifier: published name of the classifier, without ``.weight`` and ``.bias``.
        left_out: published names, by how they begin, of what serves training alone, such as auxiliary heads.
        added: network -> our entries that such a file lacks, with values that change nothing.
        written: whether `vov3d.convert` writes such files too.
    """

    title: str
    names: Callable[[nn.Module], dict[str, str]]
    classifier: str
    left_out: tuple[str, ...] = ()
    added: Callable[[nn.Module], dict[str, Tensor]] = lambda _model: {}
    written: bool = False

    @property
    def classifier_names(self) -> tuple[str, str]:
        """Published names of the classifier's weight and bias."""
        return f"{self.classifier}.weight", f"{self.classifier}.bias"


@dataclass(frozen=True)
class Backbone:
    """The names of a network of images whose weights can start networks over time.

    Attributes:
        title: what it is called.
        networks: classes that have its trunk.
        name: our name of an entry -> its name in the 2D network; ``None`` for what images cannot start.
        skipped: 2D names of what no trunk takes, by how they begin: classifiers of images.
    """

    title: str
    networks: tuple[type[nn.Module], ...]
    name: Callable[[str], str | None]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """Some of our modules, and how another naming calls them.

    Attributes:
        pattern: a regular expression of our module; its groups are the stage, the block and the unit, as far as it has
            them, and last the piece.
        prefix: what stands before their name of the piece; may hold ``{stage}``, ``{block}`` and ``{unit}``.
        pieces: our name of each piece -> theirs.
    """

    pattern: str
    prefix: str
    pieces: Mapping[str, str]


def renamed(key: str, rules: Sequence[Rule], *, first_stage: int) -> str | None:
    """Return the published name of one of our state-dict keys, or ``None`` if no rule has it.

    Args:
        key: our name.
        rules: the first one that has it counts.
        first_stage: the number that they give to our stage 0.
    """
    module, _, leaf = key.rpartition(".")
    for rule in rules:
        match = re.fullmatch(rule.pattern, module)
        if match is None or match.groups()[-1] not in rule.pieces:
            continue
        *indices, piece = match.groups()
        stage, block, unit = (*map(int, indices), 0, 0, 0)[:3]
        prefix = rule.prefix.format(stage=stage + first_stage, block=block, unit=unit)
        return f"{prefix}{rule.pieces[piece]}.{leaf}"
    return None


def all_renamed(model: nn.Module, rules: Sequence[Rule], *, first_stage: int) -> dict[str, str]:
    """Return our name -> published name of every entry; empty if one has none, such as another 3D operator's."""
    names = {key: renamed(key, rules, first_stage=first_stage) for key in model.state_dict()}
    found = {key: name for key, name in names.items() if name is not None}
    return found if len(found) == len(names) else {}
