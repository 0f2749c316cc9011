"""The words of `docs/evidence.md` that are not numbers."""

HEAD = """\
# Evidence: which networks read time, and why

The paper says that stacking T-OSA makes a small network read time. Here that is tried on drawn clips whose classes
differ in nothing but motion ([the built-in motion set](data.md#the-built-in-motion-set)): no single frame tells any
class. This page is made by `docs/make_tables.py` from the result files in `studies/results`, whatever they say.

```bash
make study                                                          # the reduced size; writes this page anew
python studies/evidence.py --only operators --list                  # what is missing, and what it costs
python studies/evidence.py --preset gpu --device cuda --minutes 9   # the full size, in pieces
```

A run that has a row is not made again; one that was stopped or killed goes on. So pieces of minutes, and machines, add
up.

**Equal protocol.** Every system sees the same clips in the same order for a seed, with the same optimiser (AdamW,
cosine), the same highest learning rate, the same number of steps, no weights from elsewhere, and the same test. The
learning rate was set once, on VoV3D, and not tuned for each system: that may cost a system that wants another one.

**Numbers.** *top-1* is of test clips from scenes that no training clip shares; *shuffled* is the same with the frames
of each clip in another order. ± is half of the 95% interval over seeds (Student's t). *Points over* a system are
differences seed by seed, where both saw the same clips; *not told apart* says that their 95% interval holds zero, which
is not to say that there is no difference. Intervals are not corrected for how many there are. GMACs are of one clip,
and so are ms, the median of some rounds in which all take turns: plain torch on one thread of a CPU, and on a GPU what
trains there (`studies/clip_times.py`).
"""

TITLES = {
    "cpu": "Reduced size",
    "gpu": "Full size",
    "top1": "All systems",
    "families": "Accuracy by family",
    "tempo": "Accuracy by pace (Figure 4)",
}

NOT_RUN = {
    "cpu": "## Reduced size\n\nNot run yet: `make study`.\n",
    "gpu": """\
## Full size

Not run yet: clips of 16x112x112, all 45 classes, the published networks. It needs a GPU:
`python studies/evidence.py --preset gpu --device cuda`. The reduced size does not stand in for it.
""",
}

PROTOCOL = """\
Runs so far: {runs} of {planned}, {minutes} minutes of training in all ({device}; by the clock, whatever else the
machine did). {classes} classes of the families {families}, difficulty {difficulty}; chance is {chance}. Clips of
{size}x{size} pixels, {clips} to train, {batch} a step, {test_clips} to test; learning rate {lr}, {precision}.
{networks}"""

NETWORKS = {
    "cpu": "VoV3D is 24 wide with one block in each stage, as have the ResNets, and X3D has its depth factor 1; "
    "VoV3D-L and X3D-L take about twice their multiply-adds, as the published ones do of M's. They stand for their "
    "kind, not for the published networks, and the training ends long before they learn no more. The ResNets keep "
    "their width: they are shown as many clips as VoV3D, and compute many times as much for each (GMACs).",
    "gpu": "The networks are the published ones: M where not said otherwise, ResNet-50, R(2+1)D-18.",
}

QUESTION_TEXTS = {
    "operators": "As published, nothing stands between the two factors of (d) and (e): they commute, and differ in "
    "multiply-adds alone. A difference between them is one of chance, not of what they can say.",
    "systems": "TSN has no operation in time: it is the control.",
    "components": "The four corners of Table 3, each over X3D.",
    "between": "Not in the paper, whose modules have neither.",
    "strided": "The paper's text concatenates the input of every block, its code not where a block strides.",
    "frames": "The same video in more or fewer frames; each system over VoV3D at the same number.",
    "top1": "At the protocol's number of frames.",
    "families": "The plot shows six of the systems that are compared with VoV3D-M.",
    "tempo": "Trained at one pace, tested at others: a stride of 5 stands for that of the training, as in the paper. "
    "Classes that are paces themselves are left out. A faster clip is through before its end, and stands still from "
    "there. The plot shows six of the systems that are compared with VoV3D-M.",
}
