"""Measurements of pyseq beside other systems, in one process and in turn. See README.md."""
