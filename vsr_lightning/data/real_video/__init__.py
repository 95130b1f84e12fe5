"""Real video from folders of frames."""
