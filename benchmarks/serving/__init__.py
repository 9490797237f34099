"""The service beside its peers: single scores, batches, events, nightly scoring, overload and memory."""
