"""The paper's own variants against its Tables 1, 3 and 4, and what those print that no network of theirs has."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vov3d.build import build_model
from vov3d.errors import ArgumentError, RecipeError
from vov3d.layers import OPERATORS, BatchNorm, D2Plus1D, SqueezeExcitation
from vov3d.models import MODELS, TOSA, ClipClassifier, VoV3D, create_model, network_name
from vov3d.models.ablations import ABOUT
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.recipe import load_recipe, override, recipe_keys
from vov3d.trained import describe

# row of Table 4 (or none): name, its key among the independent counts
ROWS: dict[str, tuple[str, str]] = {
    "a": ("vov3d_m_bottleneck", "T4a T-OSA bottleneck (SE as in e)"),
    "b": ("vov3d_m_r2plus1d", "T4b T-OSA R(2+1)D mid=C (SE)"),
    "c": ("vov3d_m_dw_bottleneck", "T4c T-OSA dw 3x3x3"),
    "d": ("vov3d_m_d1plus2d", "T4d T-OSA D(1+2)D"),
    "e": ("vov3d_m", "T4e T-OSA D(2+1)D"),
    "f": ("x3d_m", "X3D-M 174"),
    "g": ("x3d_m_d2plus1d", "X3D-M w/ D(2+1)D"),
    "g, other order": ("x3d_m_d1plus2d", "X3D-M w/ D(1+2)D"),
    "L, T-OSA": ("vov3d_l_dw_bottleneck", "T-OSA L dw 3x3x3"),
    "L, D(2+1)D": ("x3d_l_d2plus1d", "X3D-L w/ D(2+1)D"),
    "2020": ("vov3d_m_2020", "Dec-2020 VoV3D-M (n=4, inner 48, depth 1/1/2/2) 174"),
    "2020 a": ("vov3d_m_2020_bottleneck", "T4a with Dec-2020 M config"),
    "2020 b": ("vov3d_m_2020_r2plus1d", "T4b with Dec-2020 M config"),
}
NETWORKS = ("vov3d_m", "vov3d_l", "vov3d_s", "vov3d_m_2020", "x3d_m", "x3d_l", "x3d_s", "x3d_xs")


def built(row: str) -> ClipClassifier:
    with torch.device("meta"):
        return create_model(ROWS[row][0], num_classes=174)


@functools.cache
def counts(row: str) -> tuple[int, float]:
    """Parameters and GMACs at 16x256x256."""
    model = built(row)
    return count_parameters(model), count_gmacs(model, 16, 256)


def printed(golden: Path, row: str) -> tuple[float, float]:
    """Millions of parameters and GFLOPs of a row of Table 4."""
    rows = json.loads((golden / "paper_tables.json").read_text())["table4"]["rows"]
    (found,) = (one for one in rows if one["id"] == row)
    return found["params"], found["gflops"]


@pytest.mark.parametrize("row", ROWS)
def test_counts_are_those_of_an_independent_counter(row: str, golden: Path) -> None:
    counted = json.loads((golden / "paper_tables.json").read_text())["recomputed"]["rows"]
    (expected,) = (one for one in counted if one["name"] == ROWS[row][1])
    parameters, gmacs = counts(row)
    assert parameters == expected["params"]
    assert gmacs == pytest.approx(expected["gmac_16x256"], abs=6e-5)


@pytest.mark.parametrize("row", ["c", "d", "e", "f", "g"])
def test_what_table_4_prints_is_what_is_built(row: str, golden: Path) -> None:
    """To the last digit, which is sometimes rounded and sometimes cut; row (g) to two digits of the last."""
    millions, gflops = printed(golden, row)
    parameters, gmacs = counts(row)
    assert parameters / 1e6 == pytest.approx(millions, abs=0.1)
    assert gmacs == pytest.approx(gflops, abs=0.1 if row != "g" else 0.11)


@pytest.mark.parametrize(("row", "older"), [("a", "2020 a"), ("b", "2020 b")])
def test_rows_a_and_b_print_the_multiply_adds_of_the_older_network(row: str, older: str, golden: Path) -> None:
    """docs/faithfulness.md #15: parameters of the final one, without squeeze-and-excitation in row (a)."""
    millions, gflops = printed(golden, row)
    parameters, gmacs = counts(row)
    if row == "a":
        gates = [module for module in built(row).modules() if isinstance(module, SqueezeExcitation)]
        parameters -= sum(map(count_parameters, gates))
        assert parameters == 42_932_926
    assert parameters / 1e6 == pytest.approx(millions, abs=0.05)
    assert gmacs > 1.15 * gflops
    older_parameters, older_gmacs = counts(older)
    assert older_gmacs == pytest.approx(gflops, abs=0.1)
    assert older_parameters / 1e6 > millions + 0.5


@pytest.mark.parametrize("name", ABOUT)
def test_the_line_of_a_variant_tells_its_counts(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, num_classes=174)
    parameters, gmacs, _ = ABOUT[name]
    assert count_parameters(model) == parameters
    assert count_gmacs(model, 16, 256) == pytest.approx(gmacs, abs=5.1e-4)
    assert f"{parameters:,} parameters at 174 classes; {gmacs} GMACs at 16x256x256" in (MODELS[name].__doc__ or "")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_size_takes_every_operator(name: str) -> None:
    """The same weights but for those of the operators; on the command line and in a recipe it is one name."""
    own = "d2plus1d" if name.startswith("vov3d") else "dw_bottleneck"
    sizes = {}
    for operator in OPERATORS:
        full = network_name(name, operator)
        assert full == (name if operator == own else f"{name}_{operator}")
        with torch.device("meta"):
            variant, model = create_model(full), create_model(name, operator=OPERATORS[operator])
            assert str(variant) == str(model)
            middles = [module for module in variant.modules() if type(module) is OPERATORS[operator]]
        sizes[operator] = count_parameters(variant) - sum(map(count_parameters, middles))
        assert (MODELS[full].__doc__ or "").startswith((MODELS[name].__doc__ or "").partition(":")[0])
    assert len(set(sizes.values())) == 1
    assert network_name(name) == name


@pytest.mark.parametrize(
    ("name", "operator", "message"),
    [
        ("tsm_r50", "r2plus1d", "tsm_r50 has no operator to choose; of the networks, vov3d_m, .*, x3d_l, "),
        ("vov3d_m_r2plus1d", "r2plus1d", "vov3d_m_r2plus1d has no operator to choose; of the networks, vov3d_m, "),
        ("vov3d_x", "r2plus1d", "unknown model 'vov3d_x'; did you mean"),
        ("vov3d_l", "r2p1d", "unknown operator 'r2p1d'; did you mean 'r2plus1d'"),
    ],
)
def test_what_there_is_not_is_told(name: str, operator: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network_name(name, operator)
    with pytest.raises(ValueError, match="vov3d_m_r2plus1d has no operator to choose"):
        create_model("vov3d_m_r2plus1d", operator=D2Plus1D)


def test_a_recipe_chooses_among_the_operators_of_table_1(golden: Path) -> None:
    table = json.loads((golden / "paper_tables.json").read_text())["table1"]["rows"]
    printed_names = ["".join(letter for letter in row["type"].lower() if letter.isalnum()) for row in table]
    assert [re.sub("plus|_", "", name) for name in OPERATORS] == printed_names
    (key,) = (key for key in recipe_keys() if key.name == "model.operator")
    assert key.type_text == "|".join([*OPERATORS, "null"])
    assert key.default == "null"
    recipe = override(load_recipe("folder/vov3d_s_16"), {"model.operator": "d1plus2d"})
    model = build_model(recipe, 3)
    with torch.device("meta"):
        assert str(model) == str(create_model("vov3d_s_d1plus2d", num_classes=3, dropout=0.3))
        large = override(recipe, {"model.name": "vov3d_l", "model.operator": "bottleneck"})
        assert count_parameters(build_model(large, 174)) == 93_095_214
    assert describe(recipe, ("a", "b", "c"))["model"] == "vov3d_s_d1plus2d"
    assert override(recipe, {"model.operator": "null"}).model.operator is None
    with pytest.raises(
        RecipeError, match=r"unknown value of recipe key 'model.operator': 'd1p2d'; did you mean 'd1plus2d'"
    ):
        override(recipe, {"model.operator": "d1p2d"})


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("row", range(5))
def test_formulas_of_table_1(row: int, stride: int, golden: Path) -> None:
    """As printed, s the spatial stride and T x H x W the input, against counted parameters and multiply-adds."""
    table = json.loads((golden / "paper_tables.json").read_text())["table1"]["rows"][row]
    operator = list(OPERATORS.values())[row]
    sizes = {"C": 24, "T": 6, "H": 20, "W": 12, "t": 3, "k": 3, "s": stride}
    with torch.device("meta"):
        layer = operator(sizes["C"], stride)
        clips = torch.empty(1, sizes["C"], sizes["T"], sizes["H"], sizes["W"])
        with FlopCounterMode(display=False) as counter:
            layer(clips)
    assert count_parameters(layer) == value(table["params"], sizes)
    assert counter.get_total_flops() / 2 == value(table["flops"], sizes)


def value(formula: str, sizes: dict[str, int]) -> float:
    """The value of a formula of names, sums, products, quotients and powers."""
    assert re.fullmatch(r"[CTHWtks\d+*/^()]+", formula)
    result: float = eval(formula.replace("^", "**"), {"__builtins__": {}}, dict(sizes))
    return result


def test_both_orders_of_the_factors_are_one_network() -> None:
    """docs/faithfulness.md #6: values and gradients, strides and borders included."""
    torch.manual_seed(0)
    one, other = (
        VoV3D(16, (1, 2, 1, 1), num_units=3, operator=OPERATORS[name], num_classes=5, dropout=0.0).double()
        for name in ("d2plus1d", "d1plus2d")
    )
    for parameter in one.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    other.load_state_dict(one.state_dict())
    clips = torch.randn(2, 3, 5, 45, 61, dtype=torch.float64)
    logits = [network(clips) for network in (one, other)]
    assert logits[0].std() > 0.1
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-9, atol=1e-9)
    for found in logits:
        found.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in one.named_parameters()}
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-6, atol=1e-9)


def test_a_block_that_strides_may_concatenate_its_input() -> None:
    """By default it does not, and nothing changes; with it, the input comes first, shrunk to the size of the rest."""
    plain, with_input = (VoV3D(8, (1, 1, 1, 1), num_classes=3, strided_input=wanted).eval() for wanted in (False, True))
    assert [name for name in plain.state_dict() if "shrink" in name] == []
    added = [
        other.numel() - one.numel() for one, other in zip(plain.parameters(), with_input.parameters(), strict=True)
    ]
    assert sum(added) == 4 * 4 + 4 * 8 + 8 * 16 + 16 * 32
    block = TOSA(4, 8, 6, num_units=2, operator=D2Plus1D, stride=2, strided_input=True)
    clips = torch.randn(2, 4, 3, 5, 7)
    seen: list[torch.Tensor] = []
    block.aggregate.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    assert block(clips).shape == (2, 6, 3, 3, 4)
    torch.testing.assert_close(seen[0][:, :4, :, 0, 0], clips[..., :2, :2].mean((3, 4)))
    torch.testing.assert_close(seen[0][:, :4, :, 2, 3], clips[..., 4, 6])
    strideless = TOSA(4, 8, 6, num_units=2, operator=D2Plus1D, stride=1, strided_input=True)
    assert isinstance(strideless.shrink, torch.nn.Identity)


def test_what_stands_between_the_factors_stands_there() -> None:
    clips = torch.randn(2, 4, 3, 5, 5)
    operator = D2Plus1D(4, 2, between=BatchNorm)
    assert not operator.is_linear
    assert D2Plus1D(4, 2).is_linear
    assert set(operator.state_dict()) - set(D2Plus1D(4, 2).state_dict()) >= {"between.weight", "between.running_var"}
    torch.testing.assert_close(operator(clips), operator.temporal(operator.between(operator.spatial(clips))))
    model = VoV3D(8, (1, 1, 1, 1), operator=functools.partial(D2Plus1D, between=BatchNorm), num_classes=3)
    model(torch.randn(1, 3, 2, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for name, parameter in model.named_parameters() if "between" in name)
    with pytest.raises(ArgumentError, match="no causal form"):
        VoV3D(8, (1, 1, 1, 1), operator=functools.partial(D2Plus1D, between=BatchNorm), causal=True)
