"""Prints the lower bound of every dependency as a constraint, so that the tests can be run with them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


def lowest() -> list[str]:
    """Constraints such as httpx==0.28."""
    requirements = [
        *PROJECT["dependencies"],
        *(line for lines in PROJECT["optional-dependencies"].values() for line in lines),
    ]
    bounds = [re.match(r"([a-z0-9-]+)>=([0-9.]+(?:b[0-9]+)?)", requirement) for requirement in requirements]
    return sorted({f"{bound[1]}=={bound[2]}" for bound in bounds if bound})


if __name__ == "__main__":
    print("\n".join(lowest()))
