"""``vov3d receptive-field MODEL``: what each layer of a network sees of the frames, in theory and in fact."""

from vov3d.receptive_field.fields import Field, ReceptiveField, receptive_field

__all__ = ["Field", "ReceptiveField", "receptive_field"]
