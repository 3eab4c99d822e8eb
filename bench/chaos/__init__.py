"""Faults, one after another, against studies that run with real processes; then a look at whether all is exact."""
