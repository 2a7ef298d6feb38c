"""What is built of the project: the archives, and what one gets who installs them.

    python tests/package.py     # needs `build` and `twine`

The sdist and the wheel hold what they should; each is installed in an environment of its own, with
nothing else, and used there.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]

SMOKE = """
import asyncio, importlib.metadata, importlib.util, subprocess, sys, threading
import soloflight
from soloflight import cached_singleflight, testing

assert soloflight.__version__ == importlib.metadata.version("soloflight") == {version!r}
assert {folder!r} not in soloflight.__file__
for missing in ("redis", "msgspec", "prometheus_client", "matplotlib", "pytest"):
    assert importlib.util.find_spec(missing) is None, missing

@cached_singleflight(ttl=30)
def load(key):
    return [key]

@cached_singleflight(ttl=30)
async def load_later(key):
    return [key]

herd = testing.stampede(load, "k", callers=8)
assert (herd.loads, herd.answers) == (1, [["k"]] * 8)
herd = asyncio.run(testing.stampede(load_later, "k", callers=8))
assert (herd.loads, herd.answers) == (1, [["k"]] * 8)
with testing.time() as clock:
    first = load("k")
    clock.advance(31)
    assert load("k") is not first

try:
    from soloflight.tiers import RedisTier
    RedisTier.from_url("redis://localhost")
except ImportError as error:
    assert "install soloflight[redis]" in str(error)
try:
    import soloflight.contrib.prometheus
except ImportError as error:
    assert "install soloflight[prometheus]" in str(error)
(plugin,) = importlib.metadata.entry_points(group="pytest11", name="pytest_soloflight")
assert importlib.util.find_spec(plugin.value)
command = [sys.executable, "-m", "soloflight", "--help"]
said = subprocess.run(command, capture_output=True, text=True)
assert said.returncode == 0 and "demo" in said.stdout, said
"""


def run(*command: object, folder: Path = ROOT) -> None:
    subprocess.run([*map(str, command)], cwd=folder, check=True)


def holds(archive: Path) -> set[str]:
    """The files of an archive, below its one folder where it has one."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return set(opened.namelist())
    with tarfile.open(archive) as files:
        names = [PurePosixPath(member.name) for member in files if member.isfile()]
    return {str(PurePosixPath(*name.parts[1:])) for name in names}


def tracked() -> set[str]:
    said = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(said.stdout.splitlines())


def check_archives(sdist: Path, wheel: Path) -> None:
    mine = tracked()
    source = {name.removeprefix("src/") for name in mine if name.startswith("src/")}
    inside = {name for name in holds(wheel) if ".dist-info/" not in name}
    assert inside == source, inside ^ source
    assert "soloflight/py.typed" in inside
    everything = {name for name in mine if not name.startswith(".")}
    packed = holds(sdist) - {"PKG-INFO", ".gitignore"}
    assert packed == everything, packed ^ everything


def check_installed(archive: Path, folder: Path, version: str) -> None:
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "-q", archive)
    run(python, "-W", "error", "-c", SMOKE.format(version=version, folder=str(ROOT)), folder=folder)


def main() -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        run(sys.executable, "-m", "build", "-q", "-o", folder, ROOT)
        (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
        run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
        check_archives(sdist, wheel)
        version = wheel.name.split("-")[1]
        for archive in (wheel, sdist):
            check_installed(archive, folder / archive.suffix[1:], version)
        print(f"{wheel.name} and {sdist.name} are whole, and work where nothing else is installed")


if __name__ == "__main__":
    main()
