"""Pictures of what a store holds."""
