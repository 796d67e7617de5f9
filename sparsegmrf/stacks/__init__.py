"""Stacks of images in time."""
