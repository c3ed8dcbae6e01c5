"""Benchmarks: what tracking, delivering and importing cost, beside the peers, in turn, on this machine."""
