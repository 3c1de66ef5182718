"""Rankings of datasets by single-dataset trainings: published ones, one's own, and how far two of them agree."""
