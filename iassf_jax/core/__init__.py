"""What every other package may import: errors, random streams, image files, configuration."""
