"""The README's example of embeddings, which needs no files, does what it says."""
import pathlib
import re

import pytest


@pytest.mark.slow
def test_the_example_of_embeddings(tmp_path, monkeypatch, capsys):
    text = (pathlib.Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    block, = (block for block in re.findall(r"```python\n(.*?)```", text, flags=re.S) if "unified_ids" in block)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    auc, size = capsys.readouterr().out.split()
    assert 0.84 < float(auc) < 0.88 and int(size) == 14396
    assert (tmp_path / "optimizer").exists()
