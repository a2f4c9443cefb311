"""What the figures of the README come from. `make bench` runs everything on this machine, in one run."""
