"""The commands, and what this machine has and lacks."""
