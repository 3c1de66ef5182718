"""SMPLer-X's mixtures (arXiv 2309.17448), to the integer: who is in them, and which items of a list an epoch shows."""
