"""The only room that speaks gRPC."""
