"""What several layer types share: base classes, and settings that they read in the same way."""
