"""The online store: any server that speaks the Redis protocol."""
