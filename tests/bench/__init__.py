"""The test bench: every state of the flight table; threads and tasks in thousands of schedules.

Their histories must be linearizable. ``--thorough`` runs it in full.
"""
