"""The pages of the site: formulas are drawn by browsers alone, and wide ones do not widen the page."""

import importlib.util
from pathlib import Path

import pytest

from tests.conftest import require

ROOT = Path(__file__).parents[1]
THIN = '<mspace width="0.167em" />'


@pytest.fixture(scope="module")
def hooks():
    require("mkdocs", of_tests=False)
    require("latex2mathml", of_tests=False)
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inline(hooks, latex):
    return hooks.on_page_content(rf'<span class="arithmatex">\({latex}\)</span>', None, None, None)


def test_laws_have_a_script_letter_and_the_sign_of_a_relation(hooks):
    drawn = inline(hooks, r"x \sim \mathcal N(0, 1)")
    assert "<mo>&#x0223C;</mo><mi>&#x1D4A9;</mi>" in drawn
    assert "script" not in drawn
    assert inline(hooks, r"\mathcal N") == inline(hooks, r"\mathcal{N}")


def test_names_of_functions_stand_apart_from_their_arguments_but_from_brackets(hooks):
    assert f"<mi>log</mi>{THIN}<mi>p</mi>" in inline(hooks, r"\log p(x)")
    assert f"<mn>2</mn>{THIN}<mi>cos</mi>{THIN}<msup>" in inline(hooks, r"2 \cos x^2")
    assert THIN not in inline(hooks, r"\log(x) + a b")


def test_formula_of_its_own_line_is_scrolled_by_itself(hooks):
    drawn = hooks.on_page_content(r'<div class="arithmatex">\[\log p &lt; 1\]</div>', None, None, None)
    assert drawn.startswith('<div style="overflow: auto hidden; padding: 0.5em 0"><math')
    assert drawn.endswith("</math></div>")
    assert "overflow" not in inline(hooks, r"\log p")
