"""The modules behind the notebooks: each does one job and can be read in one sitting."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the clone: the package is installed in place, never copied
