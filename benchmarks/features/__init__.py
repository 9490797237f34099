"""Features side by side: Perennial and what a team would use instead, on the same work in the same run."""
