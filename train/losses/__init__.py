"""What training minimises: distances of a prediction to a record, to another network's body, and to 2D points."""
