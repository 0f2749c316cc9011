"""The one line that every message about a wrong PATH ends with."""

from __future__ import annotations

LAYOUTS = (
    "PATH may be a folder of class folders (<class>/*.mp4, or train/<class>/*.mp4 with val/<class>/*.mp4), "
    "a .csv or .json list of path,label[,split] (or path,labels[,split] for several a video) or a folder with one, "
    "a folder of Kinetics lists (train.csv, val.csv), a folder of Something-Something V1 or V2, "
    "or what `vov3d pack` wrote (a folder or a URL)"
)
