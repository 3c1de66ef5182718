"""Training on a selection: schedule, loader, models, losses. It knows samples and a selection, never a dataset."""
