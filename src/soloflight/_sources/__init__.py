"""What a leader does between its flight and the loader."""
