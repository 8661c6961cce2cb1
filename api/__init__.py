"""HTTP, the live feed and the web pages."""
