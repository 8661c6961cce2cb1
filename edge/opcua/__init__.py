"""OPC UA as a source of an edge: it subscribes to nodes and never writes one."""
