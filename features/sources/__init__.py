"""One file for each place CRM data comes from."""
