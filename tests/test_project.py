"""What stands around the package agrees with it: layers, versions, checks before a commit, paths and links of pages."""

import ast
import importlib.metadata
import inspect
import pkgutil
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import sparsegmrf
from tests.conftest import require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOP = {
    *(".ci", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE"),
    *("Makefile", "README.md", "bench", "docs", "examples", "findings", "kernels", "mkdocs.yml", "pyproject.toml"),
    *("sparsegmrf", "tests"),
}
NAMESPACES = {
    *("models", "factors", "likelihoods", "priors", "fields", "scores", "inference", "autoregression", "ensembles"),
    *("pixels", "large", "stacks", "io", "geo", "errors", "plot", "torch", "warmup"),
}
OF_EXTRAS = {"plot": "matplotlib", "torch": "torch", "geo": None, "warmup": None}
"""Namespaces that are imported by themselves, and the library that one needs for it."""
VALUES = {"plot.FIGURE_SUFFIXES", "factors.Method"}
"""Public names that are a constant or a type alias, which have no docstring of their own."""
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [ROOT / "bench" / "README.md", ROOT / "findings" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


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


def test_top_level_holds_the_namespaces_and_at_most_23_names():
    public = set(sparsegmrf.__all__)
    modules = {name for name in public if inspect.ismodule(getattr(sparsegmrf, name))}
    assert modules == NAMESPACES - set(OF_EXTRAS)
    assert len(public - modules) <= 23


@pytest.mark.parametrize("name", sorted(NAMESPACES))
def test_public_names_of_a_namespace_are_documented_and_no_module_of_it(name):
    module = namespace(name)
    modules = {each.name for each in pkgutil.iter_modules(getattr(module, "__path__", []))}
    assert list(module.__all__) == sorted(set(module.__all__), key=module.__all__.index)
    assert module.__doc__
    for public in module.__all__:
        value = getattr(module, public)
        assert public not in modules, f"{name}.{public} hides a module"
        if f"{name}.{public}" not in VALUES:
            assert inspect.isclass(value) or inspect.isfunction(value), public
            assert (value.__doc__ or "").strip(), public
            # A dataclass or named tuple without a docstring is given its signature for one.
            assert not value.__doc__.startswith(f"{public}("), public


def test_every_public_name_is_exported_by_one_namespace_besides_the_top():
    doors = {}
    for name in sorted(NAMESPACES):
        for public in namespace(name).__all__:
            doors.setdefault(public, []).append(name)
    several = {public: names for public, names in doors.items() if len(names) > 1}
    # Of an image, of a raster tile by tile, and of a stack in time.
    own = {name: ["inference", "large"] for name in ("condition", "fit")}
    assert several == {**own, "fill": ["inference", "large", "stacks"], "diagnose": ["inference", "stacks"]}
    only_at_the_top = {"__version__", "explore", "get_num_threads", "set_num_threads"}
    only_at_the_top |= {"SymmetricStencil", "TriangularStencil"}
    assert set(sparsegmrf.__all__) - NAMESPACES - set(doors) == only_at_the_top


def namespace(name):
    if OF_EXTRAS.get(name):
        require(OF_EXTRAS[name])
    return importlib.import_module(f"sparsegmrf.{name}")


def test_dotted_names_in_pages_and_sources_exist():
    require("torch")
    files = [page for page in PAGES if page.stem != "CHANGELOG"]
    files += [
        path for folder in ("sparsegmrf", "kernels", "examples", "bench") for path in (ROOT / folder).rglob("*.py")
    ]
    dotted = r"(?<![.\w/\"])sparsegmrf(?:\.[A-Za-z]\w*)+\b(?!\.json)"
    named = {name for path in files for name in re.findall(dotted, path.read_text(encoding="utf-8"))}
    assert len(named) > 50
    for name in named:
        pkgutil.resolve_name(name)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "CHANGELOG"], ids=lambda page: page.stem)
def test_commands_and_options_that_a_page_has_exist(page):
    typer = require("typer")
    from sparsegmrf.cli._commands import app

    for line in re.findall(r"(?:`|^)sparsegmrf ([^`\n#]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        command, words = typer.main.get_command(app), line.split()
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, line


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


def test_readme_lists_every_page():
    index = re.findall(r"^\| \[([\w.]+)\]\(docs/([\w.]+)\) \|", text("README.md"), flags=re.MULTILINE)
    assert all(name == target for name, target in index)
    assert sorted(name for name, _ in index) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_every_page_has_its_place_in_the_site_and_every_tutorial_in_the_readme():
    placed = re.findall(r"^ +- ([\w/]+\.md)$", text("mkdocs.yml"), flags=re.MULTILINE)
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(placed) == sorted(pages)
    tutorials = re.findall(r"\]\(docs/(tutorials/\w+\.md)\)", text("README.md").partition("\n| page |")[0])
    assert sorted(tutorials) == sorted(page for page in pages if page.startswith("tutorials/"))


def test_wide_tables_and_lines_of_code_have_the_room_of_the_list_of_contents():
    """The list stands beneath the page in the navigation, and no page is the index of a section, which excludes it."""
    (features,) = re.findall(r"features: \[(.+)\]", text("mkdocs.yml"))
    assert "toc.integrate" in features.split(", ")
    assert "navigation.indexes" not in features


def test_findings_are_listed_and_say_which_versions_they_are_about():
    listed = re.findall(r"^\| \[([\w.]+)\]\(([\w.]+)\) \| [^|]+ \|$", text("findings/README.md"), flags=re.MULTILINE)
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    assert [each for pair in listed for each in pair] == [path.name for path in scripts for _ in range(2)]
    for path in scripts:
        (installed,) = re.findall(r"pip install ((?:\\\n|.)+)", text(path))
        packages = [each for each in installed.split() if each[0] not in "-\\"]
        assert packages, path
        assert all("==" in each for each in packages), path
        assert path.stat().st_mode & 0o100, path
        assert "set -euo pipefail" in text(path), path
        assert "sparsegmrf" not in text(path), path


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
