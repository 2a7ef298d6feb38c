"""What is cached, and for how long it may be served as what."""
