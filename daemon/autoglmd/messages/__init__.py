"""The frozen values that travel between the rooms. They hold data and nothing that changes."""
