"""Samples of a store in the formats that other projects read: HumanData npz and COCO-style json."""
