"""What the simulated atc, aclruntime, ais_bench and npu-smi have in common."""
