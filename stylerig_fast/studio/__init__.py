"""The studio: an interactive rig in the browser."""
