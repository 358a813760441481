"""What several layer types share: base classes, and settings that they read alike."""
