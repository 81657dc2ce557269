"""What rendering, locking and building cost, measured side by side: `make bench`."""
