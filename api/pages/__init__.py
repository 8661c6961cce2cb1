"""The web page, as files; `api.routes.pages` serves them."""
