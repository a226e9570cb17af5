"""Conversations that are encrypted."""
