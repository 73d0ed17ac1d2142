"""Ascend: the vendor's tools, each behind one module."""

HANG_LOG = "ascend_hang.log"  # among the artefacts; not empty after a call into the driver took too long and the process was ended
