"""Image templates in Azure VM Image Builder's schema."""
