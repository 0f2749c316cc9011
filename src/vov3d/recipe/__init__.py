"""Recipes: the science of one experiment, as a YAML file of some 45 lines that can be read whole.

```python
recipe = override(load_recipe("ssv1/vov3d_m_16"), {"optim.lr": "0.05"})
```
"""

from vov3d.recipe.checks import recipe_from_mapping, to_mapping
from vov3d.recipe.keys import KeyHelp, recipe_keys, recipe_sections, value_text
from vov3d.recipe.library import (
    check_start,
    differences,
    list_recipes,
    load_recipe,
    override,
    recipe_text,
    scale_lr,
    summary,
    to_yaml,
    with_epochs,
)
from vov3d.recipe.schema import (
    ClipSettings,
    ModelSettings,
    OptimSettings,
    Ours,
    Recipe,
    Reported,
    TestSettings,
    TrainSettings,
)

__all__ = [
    "ClipSettings",
    "KeyHelp",
    "ModelSettings",
    "OptimSettings",
    "Ours",
    "Recipe",
    "Reported",
    "TestSettings",
    "TrainSettings",
    "check_start",
    "differences",
    "list_recipes",
    "load_recipe",
    "override",
    "recipe_from_mapping",
    "recipe_keys",
    "recipe_sections",
    "recipe_text",
    "scale_lr",
    "summary",
    "to_mapping",
    "to_yaml",
    "value_text",
    "with_epochs",
]
