"""What depth and deformations do to a representation."""
