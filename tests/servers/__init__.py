"""Servers on loopback that the real clients speak to: small, in memory, and able to fail on request."""
