"""A simulated ais_bench 0.0.2."""
