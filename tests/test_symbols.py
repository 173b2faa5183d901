"""Code compiled once per tier has internal linkage: else the linker may keep one tier's copy for all."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OBJECTS = sorted(ROOT.glob("build/*/CMakeFiles/pyseq_*.dir/src/cpp/**/*.o"))
COMPILED_ONCE = ("pyseq_runtime.dir", "pyseq_decoding.dir")
TIER_OBJECTS = [o for o in OBJECTS if not any(name in o.parts for name in COMPILED_ONCE)]
ALLOWED = re.compile(r"^pyseq::(baseline|avx2|avx512)::(fill_\w+|kernel_table)\(")

pytestmark = [
    pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm (binutils)"),
    pytest.mark.skipif(
        not TIER_OBJECTS, reason="no object files under build/: pyseq was not built in this checkout"
    ),
]


def symbols(path):
    out = subprocess.run(
        ["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True
    ).stdout
    for line in out.splitlines():
        _, kind, name = line.split(maxsplit=2)
        yield kind, name


@pytest.mark.parametrize(
    "path",
    TIER_OBJECTS,
    ids=lambda p: "-".join([p.parts[-4] if "pyseq_" in p.parts[-4] else p.parts[-5], p.name]),
)
def test_tier_objects_export_their_table_and_nothing_weak(path):
    found = list(symbols(path))
    assert found
    weak = [name for kind, name in found if kind in "WVu"]
    assert not weak, "weak symbols: the linker keeps one tier's copy for all"
    foreign = [name for kind, name in found if kind.isupper() and not ALLOWED.match(name)]
    assert not foreign, "symbols with external linkage"
