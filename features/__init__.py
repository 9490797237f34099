"""CRM tables in, point-in-time feature rows out."""
