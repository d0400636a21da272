"""Golden VM images and fleet compliance on your own hardware."""
