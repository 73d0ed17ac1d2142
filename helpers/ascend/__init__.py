"""Ascend: the vendor's tools, each behind one module."""

HANG_LOGS = "ascend_hang_*.log"  # among the artefacts; one is left after a call into the driver took too long and ended the process
