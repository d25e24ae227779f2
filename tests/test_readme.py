"""What the README and the pages of the site show runs as it stands: the blocks of Python of each,
one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("sklearn", "safetensors", "tqdm", "kymatio"):
    pytest.importorskip(package)

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = {
    str(page.relative_to(ROOT)): blocks
    for page in PAGES
    if (blocks := re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))
}


@pytest.mark.parametrize("page", BLOCKS)
def test_the_blocks_of_a_page_run(page, tmp_path):
    # The package under test, also when it is not installed.
    program = "\n".join([f"import sys; sys.path.insert(0, {str(ROOT)!r})", *BLOCKS[page]])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_readme_and_the_pages_have_blocks():
    assert "README.md" in BLOCKS and len(BLOCKS) > 10
