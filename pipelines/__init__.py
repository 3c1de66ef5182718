"""The `ehps` command line and the flows behind it: the only package that sees all the others.

A flow contains no work: it calls plain functions of `harmonize`, `catalogs` and `train` that are tested without it.
"""
