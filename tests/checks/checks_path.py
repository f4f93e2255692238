# SPDX-License-Identifier: MIT
"""Makes the checkers importable: `import checks_path` comes before `import order`."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "checks"))
