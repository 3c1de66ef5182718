"""Choosing data: proposers of mixtures over a catalog. It reads no pictures and trains nothing."""
