"""What the user holds: decorated functions, bound and not, and how their calls become keys."""
