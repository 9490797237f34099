"""People's pages: a handler and a template each."""
