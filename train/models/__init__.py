"""Networks: plain torch modules from a crop of a picture to body parameters."""
