"""Charts as SVG text: pure functions from numbers to a picture.

Each picture stands alone as a file and follows the colours of a page it is put into: a colour is written once as a
plain value and once as a CSS variable (``--chart-ink`` and so on) that a page may set. Blue is right and orange is
wrong, a pair that colour-blind readers tell apart. All names are escaped.
"""

from vov3d.plots.bars import Bar, bar_chart, group_chart
from vov3d.plots.confusion import confusion_chart
from vov3d.plots.costs import cost_chart
from vov3d.plots.fields import FieldRow, field_chart
from vov3d.plots.lines import Series, line_chart
from vov3d.plots.scatter import Panel, Point, scatter_chart
from vov3d.plots.svg import COLOURS, STYLES

__all__ = [
    "COLOURS",
    "STYLES",
    "Bar",
    "FieldRow",
    "Panel",
    "Point",
    "Series",
    "bar_chart",
    "confusion_chart",
    "cost_chart",
    "field_chart",
    "group_chart",
    "line_chart",
    "scatter_chart",
]
