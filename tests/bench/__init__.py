"""What the tests of schedules and histories share: a scheduler, a loop, programs, histories."""
