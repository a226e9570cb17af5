"""The configuration: what there is to configure, and how a file of it is read."""
