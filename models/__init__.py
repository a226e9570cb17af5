"""Embedded models: how they are made from nothing."""
