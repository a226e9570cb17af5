"""Conversations on disk: how they are written, found again, and kept within their bounds. No engine, no gRPC."""
