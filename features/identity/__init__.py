"""One customer out of several systems: who is the same, decided once, and replayed at every ingest."""
