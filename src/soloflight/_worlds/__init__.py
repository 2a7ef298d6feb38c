"""Threads, tasks and futures: how each leads and waits, and what runs their loads."""
