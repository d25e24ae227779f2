"""What README and the pages of the site show runs as it stands: each block of Python on its own or
after those above."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("sklearn", "safetensors", "tqdm", "kymatio"):
    pytest.importorskip(package)

pytestmark = pytest.mark.proof

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)


def run(program: str, folder: Path) -> None:
    # The package under test, also when it is not installed.
    program = f"import sys; sys.path.insert(0, {str(README.parent)!r})\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_blocks_run(tmp_path):
    (learning,) = (block for block in BLOCKS if "make_pipeline" in block)
    others = [block for block in BLOCKS if block != learning]
    assert len(others) >= 5
    run("\n".join(others), tmp_path)  # those below go on where those above end
    run(learning, tmp_path)
    assert not list(tmp_path.iterdir())


DOCS = README.parent / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "```python\n" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_blocks_of_a_page_run(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    run("\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)), tmp_path)
