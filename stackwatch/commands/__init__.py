"""What the commands do, one module a family: each carries its arguments to the package that knows."""
