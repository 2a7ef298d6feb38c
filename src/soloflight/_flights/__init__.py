"""The protocol: flights, their table, and what is told of them. It runs nothing itself."""
