"""Draw the rooms of the package and write their table, from the import contracts and the imports of the code.

Run ``python scripts/draw_rooms.py`` (or ``make architecture``) after a room was added, renamed or allowed to import
another. It writes ``docs/images/rooms.svg`` and the tables between the marks in ``CONTRIBUTING.md`` and
``docs/architecture.md``; a test compares them.
"""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "napari_nucleigan"
SOURCE = REPOSITORY / "src" / PACKAGE
PICTURE = REPOSITORY / "docs" / "images" / "rooms.svg"
PAGES = (REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "docs" / "architecture.md")
BEGIN, END = "<!-- rooms: written by scripts/draw_rooms.py -->\n", "<!-- end of rooms -->\n"

ROW, NAME, CELL, HEAD, EDGE = 26, 128, 26, 96, 14  # pixels
INK, FAINT, PAPER, BAND, DOT = "#2b2b33", "#6f6f7a", "#fbfaf7", "#efecf5", "#5e35b1"


def floors() -> list[list[str]]:
    """Read the rooms of each floor from the contract on rooms, from the top down."""
    config = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    (contract,) = (one for one in config["tool"]["importlinter"]["contracts"] if one["id"] == "rooms")
    layers = (layer.split(" | ") for layer in contract["layers"])
    return [names for names in layers if not names[0].startswith("(")]


def purpose(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    text = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text("utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").replace("``", "`")


def imports() -> dict[str, set[str]]:
    """Find which rooms the modules of each room import."""
    rooms = {room for floor in floors() for room in floor}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for path in sorted((SOURCE / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                    names = [f"{PACKAGE}.{alias.name}" for alias in node.names]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                parts = (name.split(".") for name in names)
                found[room] |= {part[1] for part in parts if part[0] == PACKAGE and len(part) > 1}
    return {room: found[room] & rooms - {room} for room in rooms}


def table() -> str:
    """Write the rooms as a Markdown table, from the top floor down."""
    stack = floors()
    rows = ["| Floor | Room | What it holds |", "|---|---|---|"]
    for number, floor in zip(range(len(stack), 0, -1), stack, strict=True):
        rows += [f"| {number} | `{room}` | {purpose(room)} |" for room in floor]
    return "\n".join(rows) + "\n"


def picture() -> str:
    """Draw a row for each room, floor by floor, and a dot for each room that it imports."""
    stack, known = floors(), imports()
    rooms = [room for floor in stack for room in floor]
    left, top = EDGE + NAME, EDGE + HEAD
    width, height = left + CELL * len(rooms) + HEAD // 2, top + ROW * len(rooms) + EDGE
    shapes = [f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>']
    row = 0
    for number, floor in enumerate(stack):
        if number % 2 == 0:
            y, side = top + ROW * row, ROW * len(floor)
            shapes.append(f'<rect x="{EDGE}" y="{y}" width="{width - 2 * EDGE}" height="{side}" fill="{BAND}"/>')
        row += len(floor)
    for index, room in enumerate(rooms):
        x, y = left + CELL * index + CELL // 2, top + ROW * index + ROW // 2
        shapes += [
            f'<text x="{EDGE + 8}" y="{y + 4}" fill="{INK}" font-weight="600">{escape(room)}</text>',
            f'<text transform="translate({x + 4} {top - 8}) rotate(-55)" fill="{FAINT}">{escape(room)}</text>',
            f'<rect x="{x - 4}" y="{y - 4}" width="8" height="8" fill="none" stroke="{FAINT}"/>',
        ]
        for other in sorted(known[room], key=rooms.index):
            centre = left + CELL * rooms.index(other) + CELL // 2
            title = f"<title>{escape(room)} imports {escape(other)}</title>"
            shapes.append(f'<circle cx="{centre}" cy="{y}" r="5.5" fill="{DOT}">{title}</circle>')
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Which room imports which">\n'
        f"{body}\n</svg>\n"
    )


def filled(page: str) -> str:
    """Put the table between the marks of a page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    PICTURE.write_text(picture(), "utf-8")
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
