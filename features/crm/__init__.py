"""From a source to a cleaned CRM: the contract, values, checks and what is kept."""
