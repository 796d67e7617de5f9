"""The Python blocks of the pages in docs/ run as they stand."""

import re
from pathlib import Path

import pytest

from tests.conftest import require, require_for

PAGES = sorted((Path(__file__).parents[1] / "docs").rglob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{k}")
    for page in PAGES
    for k, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block, tmp_path, monkeypatch, capsys):
    require_for(block)
    if "explore()" in block:
        require("ipympl")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().err == ""
