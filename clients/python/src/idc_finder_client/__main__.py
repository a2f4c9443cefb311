"""`python -m idc_finder_client` is `idc`."""

from __future__ import annotations

from idc_finder_client.cli import main

main()
