"""What stands around the package agrees with it: layers, versions, checks before a commit, paths and links of pages."""

import ast
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import sparsegmrf

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOP = {
    *(".ci", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE"),
    *("Makefile", "README.md", "bench", "docs", "examples", "kernels", "pyproject.toml", "sparsegmrf", "tests"),
}
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def layers():
    """Return the layers of the import contract, top first, each a set of modules."""
    (contract,) = [each for each in PROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return [{name.strip().removeprefix("sparsegmrf.") for name in row.split("|")} for row in contract["layers"]]


def test_picture_of_the_layers_is_the_import_contract():
    (picture,) = re.findall(r"^```text\n(.*?)^```", text("docs/design.md"), flags=re.DOTALL | re.MULTILINE)
    drawn = [re.split(r" {2,}", line)[0] for line in picture.splitlines()]
    assert [{name.strip() for name in row.split("|")} for row in drawn] == layers()


def test_every_module_has_a_layer():
    folder = ROOT / "sparsegmrf"
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert modules - {"__init__"} == set().union(*layers())


def test_nothing_prints_but_the_command_line():
    files = [path for path in (ROOT / "sparsegmrf").rglob("*.py") if "cli" not in path.parts]
    assert len(files) > 100
    for path in [*files, *(ROOT / "kernels").glob("*.py")]:
        called = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = {getattr(function, "id", getattr(function, "attr", "")) for function in called}
        assert "print" not in names, path
        assert not re.search(r"sys\.(stdout|stderr)", path.read_text("utf-8")), path


def test_version_is_the_same_everywhere():
    version = sparsegmrf.__version__
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "sparsegmrf.__version__"}
    assert importlib.metadata.version("sparsegmrf") == version
    assert re.findall(r"^version: (.+)$", text("CITATION.cff"), flags=re.MULTILINE) == [version]
    headings = re.findall(r"^## \[(.+?)\]( - \d{4}-\d\d-\d\d)?$", text("CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == version
    assert all(date for _, date in headings[1:])


def test_citation_names_what_the_package_names():
    (author,) = PROJECT["project"]["authors"]
    assert f"  - name: {author['name']}\n" in text("CITATION.cff")
    assert f"\nlicense: {PROJECT['project']['license']}\n" in text("CITATION.cff")


def test_hooks_before_a_commit_are_checks_of_the_project_by_its_own_environment():
    entries = re.findall(r"^ +entry: (.+)$", text(".pre-commit-config.yaml"), flags=re.MULTILINE)
    commands = [entry.removeprefix(".venv-test/bin/").removesuffix(" --force-exclude") for entry in entries]
    assert commands == ["ruff check", "ruff format", "mypy --strict", "lint-imports"]
    steps = re.findall(r'^step "(.+)"$', text(".ci/run"), flags=re.MULTILINE)
    for command in commands:
        assert command in steps or f"{command} --check" in steps
    assert "repo: local" in text(".pre-commit-config.yaml")
    assert "http" not in text(".pre-commit-config.yaml")
    assert "VENV ?= .venv-test" in text("Makefile")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/design.md"])
def test_paths_that_a_page_names_exist(page):
    roots = (ROOT, ROOT / "sparsegmrf", ROOT / "sparsegmrf" / "inference", ROOT / "tests" / "models")
    named = re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|md|toml|yaml|cff))`", text(page))
    assert len(named) > 5
    for name in named:
        if Path(name).stem not in ("new", "test_new", "__init__"):
            assert any((root / name).is_file() for root in (*roots, ROOT / "kernels")), name


def test_nothing_else_stands_at_the_top():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert {path.split("/")[0] for path in listed.splitlines()} <= TOP
