"""Mutation testing of the pure core: each mutant of a module must fail one of that module's tests.

`python -m tests.hunt.mutants` tests every module of `CORE`; names of modules select some. Cosmic Ray makes
the mutants. Each runs in a fork of this process, which has imported what the tests need, but nothing of the
package. No file is changed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "leadsquared_async"

ENCODING = (
    "tests/test_encoding.py",
    "tests/test_encoding_stored.py",
    "tests/test_invalid_submissions.py",
)

CORE: dict[str, tuple[str, ...]] = {
    "limiter.tokens": (
        "tests/limiter/test_token_arithmetic.py",
        "tests/limiter/test_token_boundaries.py",
        "tests/limiter/test_tokens.py",
    ),
    "protocol": ("tests/test_protocol.py", "tests/test_protocol_retry_after.py"),
    "retry": ("tests/test_retry.py",),
    "attributes": ENCODING,
    "encoding": ENCODING,
    "delivery.hold": ("tests/delivery",),
    "delivery.item_retries": ("tests/delivery",),
    "delivery.reasons": ("tests/delivery",),
    "fields.checker": ("tests/fields/test_checker.py",),
    "outbox.row_states": ("tests/outbox/test_row_states.py",),
    "outbox.rows": ("tests/outbox/test_rows.py",),
    "outbox.schema": ("tests/outbox/test_schema.py",),
}
"""The modules of the pure core, and the fast tests of each, which need no fixture of this project."""

PRELOADED = (
    "anyio",
    "anyio._backends._asyncio",
    "aiolimiter",
    "httpx",
    "httpcore",
    "tenacity",
    "sniffio",
    "starlette.applications",
    "uvicorn",
    "hypothesis",
    "hypothesis.strategies",
    "pytest",
    "_pytest.python",
    "pytest_asyncio",
    "respx",
    "filelock",
    "redis",
    "redis.asyncio",
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk.metrics",
    "phonenumbers",
    "numpy",
    "pandas",
    "sqlite3",
    "openpyxl",
)

OPERATORS = {
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")),
    *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    *("RemoveDecorator", "ZeroIterationForLoop"),
}
"""Of Cosmic Ray's operators: each comparison negated and moved by one, and one other operator for each."""

CPU_SECONDS = 20
"""A mutant whose tests use more counts as killed. A busy machine makes tests slower without more CPU time."""
TIMEOUT = 120.0
"""A mutant whose tests take more seconds counts as killed: they wait for something that does not happen."""


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
        operator: Cosmic Ray's name of the change.
        line: where it is, in the original.
        before: the changed line.
        after: the line as changed.
        source: the whole module with the change.
    """

    operator: str
    line: int
    before: str
    after: str
    source: str


def path_of(module: str) -> Path:
    return ROOT / PACKAGE / f"{module.replace('.', '/')}.py"


def mutants_of(source: str) -> Iterator[Mutant]:
    """All mutants of a module; changes that leave the code as it was are left out."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    tree, lines = get_ast(source), source.splitlines()
    makers: list[tuple[str, Any]] = [
        *((name, get_operator(f"core/{name}")()) for name in sorted(OPERATORS)),
        ("DeleteStatement", _statement_deletion()),
        ("ReplaceInSql", _sql_replacement()),
    ]
    for name, maker in makers:
        places = [start for node in ast_nodes(tree) for start, _ in maker.mutation_positions(node)]
        for occurrence, (line, _) in enumerate(places):
            changed = mutate_code(source, maker, occurrence)
            # The `*` before keyword-only parameters is no multiplication.
            if changed is None or not _compiles(changed) or changed.count("/,") > source.count("/,"):
                continue
            new = changed.splitlines()
            at = next((n for n, (a, b) in enumerate(zip(lines, new, strict=False)) if a != b), line - 1)
            yield Mutant(name, at + 1, lines[at].strip(), new[at].strip(), changed)


def _compiles(source: str) -> bool:
    try:
        compile(source, "a mutant", "exec")
    except SyntaxError:
        return False
    return True


def _statement_deletion() -> Any:
    """The operator that replaces a call or an assignment to an attribute by `pass`."""
    from cosmic_ray.operators.operator import Operator
    from parso.python.tree import Keyword

    class DeleteStatement(Operator):
        def mutation_positions(self, node: Any) -> Iterator[Any]:
            if node.type not in {"expr_stmt", "atom_expr", "power"} or node.parent.type != "simple_stmt":
                return
            code = node.get_code(include_prefix=False)
            if (
                node.type != "expr_stmt"
                or code.startswith("self.")
                or any(f" {it}= " in code for it in "+-|")
            ):
                yield node.start_pos, node.end_pos

        def mutate(self, node: Any, index: int) -> Any:
            del index
            return Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

        @classmethod
        def examples(cls) -> tuple[()]:
            return ()

    return DeleteStatement()


SQL = {
    " AND ": " OR ",
    "NOT ": "",
    " = ": " <> ",
    " > ": " >= ",
    " < ": " <= ",
    "min(": "max(",
    " LIMIT ?": " LIMIT 2 * ?",
    "ORDER BY ": "ORDER BY -",
}
"""Parts of a query or a change, and what a mutant has instead."""


def _sql_replacement() -> Any:
    """The operator that changes a condition or the order in the text of an SQL statement."""
    from cosmic_ray.operators.operator import Operator

    statement = re.compile(r"^(?!.*CREATE ).*\b(?:WHERE|AND|ORDER)\b", re.DOTALL)
    places = re.compile("|".join(map(re.escape, SQL)))

    class ReplaceInSql(Operator):
        def mutation_positions(self, node: Any) -> Iterator[Any]:
            if node.type in {"string", "fstring_string"} and statement.match(node.value):
                for _ in places.finditer(node.value):
                    yield node.start_pos, node.end_pos

        def mutate(self, node: Any, index: int) -> Any:
            found = [*places.finditer(node.value)][index]
            node.value = node.value[: found.start()] + SQL[found[0]] + node.value[found.end() :]
            return node

        @classmethod
        def examples(cls) -> tuple[()]:
            return ()

    return ReplaceInSql()


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed source."""

    def __init__(self, module: str, source: str) -> None:
        self._name = f"{PACKAGE}.{module}"
        self._path = str(path_of(module))
        self._source = source

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._path)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._path
        exec(compile(self._source, self._path, "exec"), module.__dict__)


def survives(module: str, source: str, tests: Sequence[str]) -> bool:
    """Whether the tests pass with this source of the module, in a fork of this process."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            import resource

            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            silence = os.open(os.environ.get("HUNT_LOG", os.devnull), os.O_WRONLY | os.O_CREAT)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            sys.dont_write_bytecode = True
            sys.meta_path.insert(0, _Mutated(module, source))
            import pytest

            options = [
                "-x",
                "-q",
                "--noconftest",
                "-p",
                "no:leadsquared_async",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:xdist",
                "--hypothesis-seed=1",
            ]
            # pytest's own import hook would import the package from its files, since it has a plugin.
            options += ["--assert=plain", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
            os._exit(int(pytest.main([*options, *tests])))
        os._exit(9)
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def preload() -> None:
    """Import what the tests need, so that no fork does it again."""
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    assert not any(name == PACKAGE or name.startswith(f"{PACKAGE}.") for name in sys.modules)


def hunt(module: str, seconds: float, seed: int | None = None) -> tuple[int, list[Mutant]]:
    """Test the mutants of a module for so long, in the order of the file or of a seed.

    Returns the number tested, and those that survived.
    """
    source = path_of(module).read_text()
    tests = [test for test in CORE[module] if (ROOT / test).exists()]
    assert survives(module, source, tests), f"{module}: its tests fail without a change"
    found, alive, tested = [*mutants_of(source)], list[Mutant](), 0
    if seed is not None:
        random.Random(seed).shuffle(found)
    until = time.monotonic() + seconds
    for mutant in found:
        if time.monotonic() >= until:
            break
        tested += 1
        if survives(module, mutant.source, tests):
            alive.append(mutant)
            print(
                f"{module}:{mutant.line}  {mutant.operator}  - {mutant.before}  + {mutant.after}", flush=True
            )
    return tested, alive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=[*CORE], help="such as protocol; by default all")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of each module")
    parser.add_argument("--seed", type=int, default=None, help="test a module's mutants in another order")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    preload()
    for module in arguments.modules:
        start = time.monotonic()
        tested, alive = hunt(module, arguments.seconds, arguments.seed)
        score = f"{1 - len(alive) / tested:.1%}" if tested else "none"
        print(
            f"{module}: {tested - len(alive)} of {tested} mutants killed ({score}), "
            f"{time.monotonic() - start:.0f} s",
            flush=True,
        )


def run(seconds: float, seed: int) -> str:
    """As many mutants of one module as there is time for, in a process without the package."""
    module = random.Random(seed).choice([*CORE])
    command = [sys.executable, "-m", "tests.hunt.mutants", module]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
