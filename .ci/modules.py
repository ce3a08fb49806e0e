"""Every module and what it is for, in its own words: `python .ci/modules.py > docs/modules.md`."""

from __future__ import annotations

import ast
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_ROOMS = ("pri3d_data", "shards", "pipelines", "pri3d_train")
_HEAD = """# Modules

What each is for, in its own words; `python .ci/modules.py > docs/modules.md` writes this page.
How they work together: [architecture](architecture.md).
"""


def page() -> str:
    """The page, as it ought to be."""
    parts = [_HEAD]
    for room in _ROOMS:
        parts.append(f"## {room}\n\n| module | |\n|---|---|")
        for file in sorted((_ROOT / room).rglob("*.py")):
            said = ast.get_docstring(ast.parse(file.read_text()))
            if file.name != "__init__.py" and said:
                first = said.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
                parts.append(f"| `{file.relative_to(_ROOT)}` | {first} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
