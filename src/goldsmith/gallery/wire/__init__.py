"""ARM JSON to galleries, image definitions and image versions, and back."""
