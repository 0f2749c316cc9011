"""What `docs/performance.md` says around its numbers."""

HEAD = """\
# What it costs

VoV3D needs few multiply-adds; whether that becomes little time is up to the arithmetic. This page is made by
`docs/make_tables.py` from what `make bench`, or a part of it run again alone, measured on {processor}, {cores} cores,
with torch {torch}{engines}, on {day}. The results are in `benchmarks/results`, each file with its machine and last
command; rows of one day that were not measured again stay.

What is timed lives in a process of its own, and all that are compared take turns, since no machine is the same from
minute to minute. Times are medians over rounds, ratios medians of the ratios of single rounds; quartiles of times lie
{spread:.0%} apart in the middle case. **Plain** is the published network in eager float32 as torch computes it,
`nn.Conv3d` on contiguous memory. Part of its time is the system handing out pages of memory, so there is a second
baseline, **memory kept**: the same with glibc told to keep what is freed (`MALLOC_MMAP_MAX_=0`, large
`MALLOC_TRIM_THRESHOLD_` and `MALLOC_TOP_PAD_`).

Two cores that share a cache exchange data faster than two that do not, and a virtual machine's are moved about by its
host. So *exchange* stands beside what two threads took: GB/s at which a core read what the other had just written
(`benchmarks/cores.py`), at that time.
"""

EXCHANGE = "exchange, GB/s>"

INFERENCE = """\
## One clip

How many times as fast as plain one is; in brackets, as plain with memory kept. `eager` is `model(clips)`, the others
are [`vov3d.optimize`](optimize.md) by whichever back end was the fastest.

![Times as fast as plain, by network and precision](performance-speed.svg)

{table}
### How far the logits are, and what memory it takes

Logits are compared with those of plain float32; weights are drawn at random, which is hard on narrow types, since all
classes are then close to each other. Memory is what the network and one clip add to a process at its peak.

{accuracy}
### Every back end

{engines}"""

FIELD = """\
## Multiply-adds and time

What the systems do beside VoV3D-M (16x224), in multiply-adds and on the clock, {threads}. Every system is shown the
most frames of its rows in [the comparison](numbers.md), of 224 pixels or its own crop where that is smaller, and
takes turns with VoV3D-M in the same way: eager, and in the engine that is best for each. On the dashed line, time is
what multiply-adds promise; below it a system takes less than its share, as dense convolutions do in eager.

![Time over multiply-adds, both beside VoV3D-M's](performance-field.svg)

{table}

The systems that a goal speaks of, each beside VoV3D-M in the same way and on as many threads. The goal is about float32
on one thread: from numbers of half the size dense convolutions gain more than VoV3D-M, and two threads of it exchange
more data, which takes longer between cores that do not share a cache.

{wanted}"""

PEERS = """\
## Other packages

Networks as their packages build them, without trained weights, and three of the catalogue, each in turns with VoV3D-M
in the same way, {threads}: in eager, and in the best engine that takes it in float32, which is what
`vov3d.optimize` picks for ours and OpenVINO for the others. GMACs leave out the products of attention.

![How many times as long as VoV3D-M a clip takes](performance-peers.svg)

{table}"""

TRAINING = """\
## A training step

Forward, backward and SGD in float32; ours against plain `nn.Conv3d` modules of the same network. With memory
kept is how the command line trains (`vov3d.memory`); a step of it beside plain modules as torch runs them is what the
goal above is about.

{table}"""

GROWTH = """\
## How it grows

VoV3D-M from one clip of 16 frames of 224 pixels on one thread: more frames, pixels or clips at a time.

![Milliseconds of a clip over its frames](performance-frames.svg)
![Milliseconds of a clip over its pixels](performance-crop.svg)
![Milliseconds of each clip over clips at a time](performance-batch.svg)

{table}"""

ROOFLINE = """\
## The machine's roofline

The fastest dense products and copies of memory that were seen, by any of torch's ways to them.

{peaks}
The floor of a clip is counted from that: each fused layer takes as long as its arithmetic or its memory traffic does,
whichever is longer. It reads its input and weights and writes its output once; what squeeze-and-excitation gates
passes through memory once more (`benchmarks/roofline.py`). The table has the floor, the time of the fastest path, and
the former as a share of the latter: at 100% nothing could be faster here without computing something else.

![The floor of a clip beside the fastest path](performance-roofline.svg)

{floors}"""

FROM_FILE = """\
## From file to answer

Videos as Kinetics has them (10 s of 340x256), VoV3D-M, 16 frames of 256 pixels a view. The loop opens, decodes, resizes
and forwards each view in turn, with the plain modules; `predict` decodes each frame once, ahead of the network, and
computes two views at a time, with or without an engine. The slower of the two stages bounds it.

{table}{packets}"""

PACKETS = """
H.264 packets whose frames nobody asked for, and no other frame refers to, never reach the decoder. What every fourth
frame of a video then costs beside decoding all to get it:

{table}"""

STREAMING = """\
## A camera

The causal form of a network follows a camera frame by frame: `create_model("vov3d_m", causal=True).stream()`. One new
frame beside the clip of 16 frames that a sliding window would compute for it, in eager float32: as plain modules
and as the catalogue compute it. 16 times as fast would be the cost of one of the clip's frames. `fast_stream` is
[the quicker way](streaming.md).

{table}"""
