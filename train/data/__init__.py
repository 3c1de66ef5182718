"""From a store and a selection to batches: which sample when, picture and labels as tensors, what was really drawn."""
