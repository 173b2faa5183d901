"""Data goes down the levels and results come up: no import or include steps upwards."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "src" / "pyseq"
CPP = ROOT / "src" / "cpp"

# Lowest first. A module may import from its own level and those below.
PYTHON_LEVELS = [
    {"_core", "_ragged"},
    {"_config", "_openmp"},
    {"ragged", "_ragged_input", "_ragged_layout", "_tokens"},
    {"ops", "metrics", "datasets", "plotting"},
    {"layers", "decoding"},
    {"training"},
    {"estimators"},
    {"__init__"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
CPP_LEVELS = [
    {"runtime", "kernels", "kernels.h"},  # the contract is runtime's and everybody's
    {"tier.h"},
    {"simd"},
    {"gemm", "optim"},
    {"rnn", "conv", "ctc"},
    {"decoding"},  # runs kernels through the table alone
    {"table.cpp", "table_tiles.cpp", "stream"},
    {"bindings"},
]


def level_of(name, levels):
    found = [i for i, level in enumerate(levels) if name in level]
    assert found, f"{name} stands in no level: enter it in {__file__}"
    return found[0]


def imported_modules(path):
    """Top-level parts of pyseq that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "pyseq":
                yield from (
                    alias.name if (PYTHON / alias.name).exists() or known(alias.name) else "__init__"
                    for alias in node.names
                )
            elif node.module and node.module.startswith("pyseq."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "pyseq" or alias.name.startswith("pyseq."):
                    yield [*alias.name.split("."), "__init__"][1]


def known(name):
    return any(name in level for level in PYTHON_LEVELS)


@pytest.mark.parametrize("path", sorted(PYTHON.rglob("*.py")), ids=lambda p: str(p.relative_to(PYTHON)))
def test_python_imports_go_down(path):
    own = path.relative_to(PYTHON).parts[0].removesuffix(".py")
    for module in imported_modules(path):
        assert level_of(module, PYTHON_LEVELS) <= level_of(own, PYTHON_LEVELS), f"{path} imports {module}"


@pytest.mark.parametrize(
    "path", sorted([*CPP.rglob("*.h"), *CPP.rglob("*.cpp")]), ids=lambda p: str(p.relative_to(CPP))
)
def test_cpp_includes_go_down(path):
    own = level_of(path.relative_to(CPP).parts[0], CPP_LEVELS)
    for include in re.findall(r'#include "([^"]+)"', path.read_text()):
        if include == "rnn/cells.def":  # the list of cells is part of the contract
            continue
        assert (CPP / include).is_file(), f"{path} includes {include}: give the path from src/cpp"
        assert level_of(include.split("/")[0], CPP_LEVELS) <= own, f"{path} includes {include}"


@pytest.mark.parametrize(
    "path", sorted([*CPP.rglob("*.h"), *CPP.rglob("*.cpp")]), ids=lambda p: str(p.relative_to(CPP))
)
def test_intrinsics_and_openmp_stay_in_their_place(path):
    text, place = path.read_text(), path.relative_to(CPP).parts[0]
    if place != "simd":
        assert not re.search(r"\b_mm\d*_|immintrin", text), "intrinsics belong into simd/"
    if path.relative_to(CPP) != Path("runtime/parallel.cpp"):
        assert not re.search(r"#pragma omp|omp\.h", text), "OpenMP belongs into runtime/parallel"
    if place not in {"runtime", "bindings"}:
        assert not re.search(r"#if.*__AVX2__", text) or place == "simd", "no tier switches in common code"


def test_compiler_flags_for_instruction_sets_stand_in_one_file():
    for path in [ROOT / "CMakeLists.txt", *(ROOT / "cmake").glob("*.cmake")]:
        if path.name != "isa.cmake":
            assert not re.search(r"-m(avx|fma|arch|sse|bmi)", path.read_text()), path
