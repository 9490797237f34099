"""The service that people and programs talk to."""
