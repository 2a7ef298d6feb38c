"""What processes share: how a key, a value and an error travel. Pure: no I/O, no clock."""
