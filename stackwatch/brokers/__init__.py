"""What a broker of one's own is told about us, as text of its configuration.

`identities` says who may speak about what; one module a broker writes that down in the broker's own words. Starting a
broker, and handing files to it, is left to whoever runs it.
"""
