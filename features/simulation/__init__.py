"""A CRM whose truth is known: who the customers are, what they do, and what would have happened."""
