"""What README and docs say is what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from vov3d.cli.frame import VERBS
from vov3d.recipe import list_recipes

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


@pytest.fixture(scope="module")
def make_tables() -> ModuleType:
    """The program that makes the tables."""
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "docs" / "make_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_numbers_are_current(make_tables: ModuleType) -> None:
    assert len(make_tables.TABLES) == 5
    for page in make_tables.TABLES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert make_tables.with_tables(page, text) == text, f"{page} is not current; run: python docs/make_tables.py"


def test_the_page_of_all_systems_is_current(make_tables: ModuleType) -> None:
    files = make_tables.numbers_files()
    assert len(files) == 5
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("numbers*")} == set(files)
    for page, current in files.items():
        assert (ROOT / page).read_text(encoding="utf-8") == current, f"{page} is not current; see docs/make_tables.py"


def test_the_page_of_performance_is_current(make_tables: ModuleType) -> None:
    files = make_tables.performance_files()
    assert len(files) >= 3
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("performance*") if file.suffix != ".py"} == set(files)
    for page, current in files.items():
        assert (ROOT / page).read_text(encoding="utf-8") == current, f"{page} is not current; see docs/make_tables.py"


def test_the_page_of_evidence_is_current(make_tables: ModuleType) -> None:
    files = make_tables.evidence_files()
    assert {f"docs/{file.name}" for file in (ROOT / "docs").glob("evidence*") if file.suffix != ".py"} == set(files)
    for page, current in files.items():
        assert (ROOT / page).read_text(encoding="utf-8") == current, f"{page} is not current; see docs/make_tables.py"


def test_links_lead_somewhere() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert len(links) >= 10
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


def test_files_named_in_code_quotes_exist() -> None:
    named = {
        (page.name, path)
        for page in PAGES
        for path in re.findall(r"`((?:tests|benchmarks|docs|src)/[\w/.-]+)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) >= 5
    assert sorted(one for one in named if not (ROOT / one[1]).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_pages_exist(page: Path) -> None:
    """Each `vov3d VERB ... --flag` on a page names a verb, flags and a recipe that there are."""
    from vov3d.cli.parser import Parser

    for line in re.findall(r"^\s*(?:\$ )?vov3d ([a-z]\w+.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        verb, *words = line.split("#")[0].split()
        assert verb in VERBS, line
        flags = {flag for action in Parser(VERBS[verb], [])._actions for flag in action.option_strings}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in flags, f"{line}: no flag {word}"
            if re.fullmatch(r"(?:motion|folder|ssv1|ssv2|k400)/\w+", word):
                assert word in list_recipes(), f"{line}: no recipe {word}"


def test_every_difference_from_the_paper_has_its_own_number() -> None:
    numbers = re.findall(
        r"^\| (\d+) \|", (ROOT / "docs/faithfulness.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    cited = {
        int(number)
        for path in (ROOT / "src").rglob("*.py")
        for number in re.findall(r"faithfulness\.md #(\d+)", path.read_text(encoding="utf-8"))
    }
    assert cited, "no docstring cites docs/faithfulness.md"
    assert max(cited) <= len(numbers)
