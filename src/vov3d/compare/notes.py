"""Where numbers contradict each other, and whose they are: the notes that the rows of the field name."""

from __future__ import annotations

NOTES = {
    # whose numbers they are
    "tsm": (
        "From the list of TSM's authors (github.com/mit-han-lab/temporal-shift-module): two clips or ten, three crops "
        "of 256 pixels."
    ),
    "tsn-mmaction": (
        "From MMAction2's list, which does not say how many views; its runs of TSM's code gave 17.5 and 30.3."
    ),
    "vmz": "From the list of CSN's authors (github.com/facebookresearch/VMZ).",
    "pyslowfast": (
        "From PySlowFast's list of X3D networks, which counts the training crop of 160 pixels and tests on 182."
    ),
    "movinet": (
        "From the list of MoViNet's authors (github.com/tensorflow/models): one view of the whole video. Counted are "
        "the networks that they released, which equal their TensorFlow graphs to the last parameter: 3.11, 4.69 and "
        "5.25 million and 2.63, 5.87 and 11.56 GFLOPs for A0, A1 and A2. Their paper prints 3.1, 4.6 and 4.8 million, "
        "2.71, 6.02 and 10.3."
    ),
    "movinet-stream": (
        "The list prints the GFLOPs of the base networks. The released causal ones have 3.75, 6.45 and 7.33 million "
        "parameters and 2.43, 5.54 and 10.70 GFLOPs; the paper's were others, A0 with 3.1 million and 2.73."
    ),
    # what contradicts what
    "tsm-16": (
        "33 GFLOPs are those of 8 frames; Table 7 prints 65 for the same network and clip. 24.3 million parameters are "
        "those with the 400 classes of Kinetics. 47.2 is what TSM's authors print for one view; for the six views of "
        "this row they print 48.4, and 63.1 on V2. The page of the paper's code has 48.3/78.1."
    ),
    "tsm-101": (
        "24.3 million parameters are ResNet-50's, and 65 GFLOPs what it has with 16 frames. TSM's authors print 63.3 "
        "on V2."
    ),
    "tsm-mmaction": (
        "MMAction2 trained TSM anew: on V2 62.7 (ResNet-50, 8 frames), 64.2 (16 frames) and 63.7 (ResNet-101, 8 "
        "frames), on Kinetics-400 73.2 (8 frames) and 75.1 (16 frames)."
    ),
    "tea-174": "24.4 million is the network with the 174 classes of Something-Something.",
    "tea-70": "70 GFLOPs are twice the 35 of 8 frames, which are 34.54; 69.07 are counted.",
    "stm": "STM's authors print 66.5 GFLOPs, and 33.3 for 8 frames; 66.03 and 33.01 are counted.",
    "tpn": (
        "Without the auxiliary head, which serves training alone: it has 19.2 million parameters, and the network with "
        "it 82.4. MMAction2 measures 51.9 on V1."
    ),
    "region-graph": (
        "Counted and measured without a detector, with a fixed grid of boxes. TSM's authors print 303 GFLOPs and 62.2 "
        "million parameters for the whole, and 168 and 35.3 without the graph. A ResNet-50 beside it on each of the 32 "
        "frames, as a detector may have, explains both: 168 + 3.9 (the graph) + 130.8 = 302.7 and 38.7 + 23.5 = 62.2. "
        "The 168 are not explained: five non-local blocks with all their 1x1x1 convolutions make 185.4 of 152.5."
    ),
    "slowfast-16x8": "PySlowFast's list does not have 63.9/88.2, but 63.0/88.5, and 63.5/88.7 with multigrid training.",
    "ip-is-ir": (
        "29.7 million and 74.0 GFLOPs are ir-CSN-152's, at 224 pixels. Table 7 prints ip-CSN-152's, at 256 pixels."
    ),
    "x3d-l-12": "One count is printed as 11.9 in Table 5 and as 12.0 in Table 6.",
    "m-3.3": "Table 6 prints 3.2 million; the caption of Table 5 and Section 3.3 print an earlier VoV3D-M's 3.3.",
    "m-32": "Table 5 and the page of the paper's code print 50.1/79.2; 49.8/78.0 is of December 2020.",
    "m-32-k400": "Table 5 and the page of the paper's code print 53.3/81.2.",
    "l-16": "Tables 3 and 5 print 49.6/78.1.",
    "l-32": "The page of the paper's code prints 50.6/78.7.",
    "l-224": "Counted at 224 pixels, where the M networks of the table are counted at 256. All are tested at 256.",
    "l-6.2": "6.2 million is cut off, not rounded.",
    "x3d-m-views": "PySlowFast's list has 75.1 for ten views and 76.2 for thirty.",
    "x3d-l-312": "PySlowFast's X3D-L has crops of 312 pixels: 76.9 for ten views, 77.5 for thirty, 18.37 GFLOPs.",
    "i3d": (
        "The network as published has 12.70 million parameters and 111.15 GFLOPs. With 1x1x1 kernels in the third "
        "branch of each module it would have 12.06 million weights and 107.89, which round to what is printed. The I3D "
        "of PyTorchVideo, PySlowFast and MMAction2 is an inflated ResNet-50, another network (73.3, 73.5)."
    ),
    "nonlocal": (
        "282 GFLOPs are those of 128 frames of 256 pixels, the products of attention included. PySlowFast and "
        "MMAction2 print 74.0 and 74.8 for networks of this name."
    ),
    "r2plus1d": (
        "152 GFLOPs are those of 32 frames of 112 pixels. MMAction2 measures 69.8 (8 frames of 224 pixels) and 75.5 "
        "(32 frames)."
    ),
    "slowfast-4x16": "PySlowFast's list has 75.6/92.0, PyTorchVideo's 75.3/91.9, MMAction2's 75.6/92.4.",
    "csn": "CSN's authors print 77.8/92.8, MMAction2 77.8/93.1.",
    "mixed": (
        "The parameters are the final VoV3D-M's, the GFLOPs those of December 2020; no network has both "
        "(docs/faithfulness.md #15)."
    ),
    "commute": (
        "D(1+2)D and D(2+1)D are one function, since their factors commute, with two costs: what lies between their "
        "accuracies is the noise of training (docs/faithfulness.md #6)."
    ),
    "deltas": (
        "Table 3 prints gains over X3D-M of 2.4 for T-OSA alone, where its own accuracies give 1.6, and of 2.3 for "
        "D(2+1)D alone, where they give 2.1."
    ),
    "x3d-d2plus1d": "X3D-M with D(2+1)D has 48.5/76.9 in Table 3 and 47.4/75.9 in Table 4; 5.8 GFLOPs are D(1+2)D's.",
    "m-2020": "From the page of the paper's code in December 2020.",
}
"""Key -> text."""
