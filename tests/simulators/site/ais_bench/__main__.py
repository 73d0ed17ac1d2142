"""`python3 -m ais_bench`, and the executable of that name."""

from ais_bench.cli import main

main()
