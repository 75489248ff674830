"""What notebooks and scripts import."""

import json

import pytest

from envtool.errors import DeclarationError
from envtool.formats.foreign.imported import parse_notebook, parse_script


def notebook(*sources: str | list[str]) -> str:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "import no"}, *cells]})


def test_modules_become_the_packages_that_have_them() -> None:
    text = notebook(
        "%matplotlib inline\nimport numpy as np, os\nfrom sklearn.cluster import KMeans\n",
        ["import cv2\n", "from PIL import Image\n", "!ls\n", "from . import no\n"],
        "if True:\n    !pip install something\n    import helper, yaml\n",
        "%%bash\nimport nothing\n",
        "%%time\nimport scipy\n",
        "import IPython, google.colab\nnp.array?\n",
    )
    carried = parse_notebook(text, siblings=["helper"])
    assert carried.requirements == (
        "something",
        "numpy",
        "opencv-python-headless",
        "pillow",
        "PyYAML",
        "scikit-learn",
        "scipy",
    )
    assert carried.left == ()


def test_what_is_installed_counts_before_what_is_imported() -> None:
    text = notebook("%pip install -q 'pandas>=2' scikit-learn", "import pandas, sklearn")
    assert parse_notebook(text).requirements == ("pandas>=2", "scikit-learn")


def test_a_cell_that_cannot_be_read_is_told_and_the_others_count() -> None:
    carried = parse_notebook(notebook("def (:", "import numpy"))
    assert carried.requirements == ("numpy",)
    assert carried.left == ("code cell 1 is not Python that could be read",)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cells": [3]}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="not a notebook"):
        parse_notebook(text)


def test_a_script() -> None:
    carried = parse_script("import json\nimport requests.adapters\nfrom mine import x\n", ["mine"])
    assert carried.requirements == ("requests",)
