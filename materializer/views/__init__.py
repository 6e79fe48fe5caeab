"""Feature views: transforms, vectors, and the versions of fitted parameters."""
