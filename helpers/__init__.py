"""The modules behind the notebooks: each does one job and can be read in one sitting."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the clone: the package is installed in place, never copied

# Before PyTorch loads its OpenMP: its threads spin long while they wait for each other, so that a second process on the same
# cores slows them tenfold. A short spin costs an idle machine nothing; OMP_WAIT_POLICY=PASSIVE would cost it most of its speed.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
