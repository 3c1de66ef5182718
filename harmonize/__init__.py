"""Unification of human-pose datasets: one record, one layout, one shard format."""
