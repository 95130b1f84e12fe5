"""Real video, from folders of frames or from video files."""
