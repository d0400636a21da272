"""The policies, the initiative and the alias table that come with the product."""
