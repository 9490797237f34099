"""How columns of text are read: what their values look like, what that shows, and the SQL that reads them."""
