"""Check the wheel in ``dist``: every file of the package is in it, and the licences that its metadata name."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src"
LICENSES = 4  # that of the code, and those of the weights, the samples and the presets


def main() -> None:
    (path,) = sorted((REPOSITORY / "dist").glob("napari_nucleigan-*.whl"))[-1:]
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (info,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = wheel.read(info).decode()
    tracked = {file for file in SOURCE.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    missing = sorted({file.relative_to(SOURCE).as_posix() for file in tracked} - names)
    licenses = re.findall(r"^License-File: (.+)$", metadata, re.MULTILINE)
    if missing or len(licenses) != LICENSES:
        sys.exit(f"{path.name} lacks {missing}; its licences are {licenses}.")
    print(f"{path.name}: {len(names)} files, {path.stat().st_size / 2**20:.1f} MB, licences {', '.join(licenses)}")


if __name__ == "__main__":
    main()
