"""Law 18, asked by others, where they are installed: Sphinx, Celery, cloudpickle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from soloflight import cached_singleflight, singleflight

DOCUMENTED = '''
"""A module."""
from __future__ import annotations
from soloflight import cached_singleflight, singleflight
CACHED = {cached}
SHARED = {shared}

@CACHED
def load(user_id: int, *, region: str = "eu") -> str:
    """Loads a user."""

@SHARED
async def load_async(user_id: int, *, region: str = "eu") -> str:
    """Loads a user, and is awaited."""

class Repo:
    """Has users."""

    @CACHED
    def method(self, user_id: int) -> str:
        """Of an instance."""

    @CACHED
    @classmethod
    def of_class(cls, user_id: int) -> str:
        """Of a class."""

    @SHARED
    @staticmethod
    def static(user_id: int) -> str:
        """Of nobody."""
'''


def sphinx(folder: Path, cached: str, shared: str) -> str:
    """What Sphinx says of the module."""
    folder.mkdir()
    source = DOCUMENTED.format(cached=cached, shared=shared)
    (folder / "documented.py").write_text(source, encoding="utf-8")
    (folder / "conf.py").write_text("extensions = ['sphinx.ext.autodoc']\n", encoding="utf-8")
    text = ".. automodule:: documented\n   :members:\n"
    (folder / "index.rst").write_text(text, encoding="utf-8")
    path = f"import sys; sys.path.insert(0, {str(folder)!r})"
    build = "from sphinx.cmd.build import main; sys.exit(main(['-qW', '-b', 'text', '.', 'out']))"
    subprocess.run([sys.executable, "-c", f"{path}; {build}"], cwd=folder, check=True, timeout=120)
    return (folder / "out" / "index.txt").read_text(encoding="utf-8")


def test_sphinx_says_what_it_says_of_the_loaders(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    nothing = "lambda function: function"
    ours = sphinx(tmp_path / "ours", "cached_singleflight(ttl=60)", "singleflight")
    assert ours == sphinx(tmp_path / "bare", nothing, nothing)
    assert "load(user_id: int, *, region: str = 'eu') -> str" in ours
    assert "Of a class." in ours


class Repo:
    @cached_singleflight(ttl=60)
    @staticmethod
    def static(user_id: int, *, region: str = "eu") -> str:
        """Loads a user."""
        return f"{user_id} of {region}"


@cached_singleflight(ttl=60)
def load(user_id: int, *, region: str = "eu") -> str:
    """Loads a user."""
    return f"{user_id} of {region}"


@pytest.mark.parametrize("ours", [load, singleflight(load), Repo.static])
def test_celery_makes_a_task_of_it(ours: Any) -> None:
    celery = pytest.importorskip("celery")
    app = celery.Celery("app", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    task = app.task(ours)
    assert task.__name__ == ours.__name__ and task.__doc__ == "Loads a user."
    assert task.delay(1, region="us").get() == "1 of us"
    with pytest.raises(TypeError, match="user_id"):
        task.delay()


def test_cloudpickle_pickles_it_by_its_name() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    assert pickle.loads(cloudpickle.dumps(load)) is load


def test_cloudpickle_says_why_it_cannot_take_it_to_pieces() -> None:
    """As it does with functions of a script that is run, or of a notebook."""
    cloudpickle = pytest.importorskip("cloudpickle")
    module = ModuleType("a_notebook")
    exec("def load(n): return n", vars(module))
    ours = cached_singleflight(ttl=60)(vars(module)["load"])
    with pytest.raises(TypeError, match=r"a_notebook\.load has locks: .*by its name"):
        cloudpickle.dumps(ours)
