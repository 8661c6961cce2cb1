"""What the API promises: the shape of every answer, as it stands in the OpenAPI document, a module by noun."""
