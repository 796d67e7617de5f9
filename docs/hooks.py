"""What the site has beside the pages of docs/: a start page, a page per example and module, findings, the changelog.

``make site`` builds it. With ``SPARSEGMRF_GALLERY=yes`` the examples are run and their figures shown.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from html import unescape
from pathlib import Path

import latex2mathml.converter
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
GALLERY = {
    "climate_series": "A climate series",
    "field_trial": "A field trial with treatments",
    "disease_map": "Counts and relative risk",
    "star_background": "Stars behind bad columns",
    "scratched_photograph": "A scratched photograph",
    "satellite": "A satellite raster",
    "large": "A raster beyond memory",
    "landsat": "A series under clouds",
    "decoder": "A decoder",
    "vae_mnist": "A variational autoencoder",
    "fit_texture": "A texture",
    "ensemble_covariance": "Few images of one kind",
    "model_gallery": "Draws of every model",
    "limit_on_weight": "How far a weight can be raised",
}
"""Examples by the names of their files, in the order of the pages; those that there are have one."""
DRAWN = ("climate_series", "disease_map", "star_background", "scratched_photograph", "model_gallery", "large")
"""Examples whose figure is made: they need no data of one's own, and minutes at most."""
MODULES = (
    "gmrf",
    "inference",
    "models",
    "factors",
    "stencil",
    "likelihoods",
    "priors",
    "scores",
    "fields",
    "large",
    "stacks",
    "autoregression",
    "ensembles",
    "pixels",
    "geo",
    "io",
    "plot",
    "torch",
    "warmup",
    "errors",
)


def on_config(config):
    """Put the pages that are made here into the navigation."""
    places = {"GALLERY": [f"examples/{name}.md" for name in _examples()], "API": [f"api/{m}.md" for m in _modules()]}
    config.nav = [
        {title: places.get(entry, entry) if isinstance(entry, str) else entry}
        for each in config.nav
        for title, entry in each.items()
    ]
    return config


def on_files(files, config):
    """Add the pages that are made here."""
    made = {
        "index.md": _start(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "findings.md": _findings(),
        "benchmarks.md": (ROOT / "bench" / "README.md").read_text().replace("](../docs/", "]("),
        "contributing.md": _linked((ROOT / "CONTRIBUTING.md").read_text()),
    }
    figures = _figures() if os.environ.get("SPARSEGMRF_GALLERY") == "yes" else {}
    for name, title in _examples().items():
        made[f"examples/{name}.md"] = _example(name, title, name in figures)
    for module in _modules():
        made[f"api/{module}.md"] = (
            f"# sparsegmrf.{module}\n\n::: sparsegmrf.{module}\n    options: {{show_root_heading: false}}\n"
        )
    for name, content in {**made, **{f"examples/{name}.png": found for name, found in figures.items()}}.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links to files of the repository lead to their pages."""
    up = "../" * page.file.src_uri.count("/")
    root = r"\]\((?:\.\./)*\.\./"
    markdown = re.sub(rf"{root}examples/(\w+)\.py\)", rf"]({up}examples/\1.md)", markdown)
    markdown = re.sub(rf"{root}bench/README\.md\)", rf"]({up}benchmarks.md)", markdown)
    return re.sub(rf"{root}findings/(\w+)\.sh\)", rf"]({up}findings.md#\1)", markdown)


def on_page_content(html, page, config, files):
    """Write formulas as MathML, which browsers draw by themselves: no script is fetched."""
    inline = partial(_formula, display="inline")
    html = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', inline, html, flags=re.DOTALL)
    block = partial(_formula, display="block")
    return re.sub(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', block, html, flags=re.DOTALL)


def _formula(found, display):
    """Return a formula as browsers draw it; one that is wider than the window is scrolled by itself."""
    latex = re.sub(r"\\mathcal ([A-Z])", r"\\mathcal{\1}", unescape(found.group(1)))  # script letters, not a variant
    drawn = latex2mathml.converter.convert(latex, display=display).replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")
    thin = '<mspace width="0.167em" />'  # as TeX has it around the name of a function, but before a bracket
    drawn = re.sub(r"(</m(?:i|n|style|su[bp])>)(<mi>[a-z]{2,}</mi>)", rf"\1{thin}\2", drawn)
    drawn = re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m(?:i|n|su[bp])>)", rf"\1{thin}", drawn)
    return drawn if display == "inline" else f'<div style="overflow: auto hidden; padding: 0.5em 0">{drawn}</div>'


def _examples():
    return {name: title for name, title in GALLERY.items() if (ROOT / "examples" / f"{name}.py").exists()}


def _modules():
    package = ROOT / "sparsegmrf"
    return [m for m in MODULES if (package / m).is_dir() or (package / f"{m}.py").exists()]


def _start():
    """Return the README as the first page."""
    return _linked((ROOT / "README.md").read_text())


def _linked(text):
    """Return a text that stands in the root of the repository, with links to pages."""
    first = f"examples/{next(iter(_examples()))}.md"
    pages = {
        "findings/README.md": "findings.md",
        "CHANGELOG.md": "changelog.md",
        "CONTRIBUTING.md": "contributing.md",
        "bench/README.md": "benchmarks.md",
        "README.md": "index.md",
        "examples": first,
        "examples/": first,
    }
    for old, new in pages.items():
        text = text.replace(f"]({old})", f"]({new})")
    text = re.sub(r"\]\(docs/([\w/]+\.(?:md|png))", r"](\1", text)
    return re.sub(r"\]\(examples/(\w+)\.py\)", r"](examples/\1.md)", text)


def _example(name, title, drawn):
    code = (ROOT / "examples" / f"{name}.py").read_text()
    said = ast.get_docstring(ast.parse(code)) or ""
    figure = f"![what the example draws]({name}.png)\n\n" if drawn else ""
    return f'# {title}\n\n{said}\n\n{figure}```python title="examples/{name}.py"\n{code}```\n'


def _findings():
    text = (ROOT / "findings" / "README.md").read_text()
    parts = [re.sub(r"\]\((\w+)\.sh\)", r"](#\1)", text).replace("](../docs/", "](")]
    for path in sorted((ROOT / "findings").glob("*.sh")):
        parts.append(f"## {path.stem} {{#{path.stem}}}\n\n```sh\n{path.read_text()}```\n")
    return "\n\n".join(parts)


def _figures():
    """Return the figures of examples by name, each made in a process of its own."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in DRAWN:
            if name not in _examples():
                continue
            before = set(Path(folder).iterdir())
            program = ROOT / "examples" / f"{name}.py"
            subprocess.run([sys.executable, program], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            made = [path for path in set(Path(folder).iterdir()) - before if path.suffix == ".png"]
            if made:
                found[name] = made[0].read_bytes()
    return found
