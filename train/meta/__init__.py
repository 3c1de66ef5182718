"""Dual networks: a main network that is adapted to each picture by the body that an auxiliary network sees in it.

Nie et al., "Incorporating Test-Time Optimization into Training with Dual Networks for Human Mesh Recovery"
(NeurIPS 2024, arXiv 2401.14121), per picture, for the whole body.
"""
