"""Worked systems: what the notebooks of the second lecture compute on. All are generated, from a seed."""
