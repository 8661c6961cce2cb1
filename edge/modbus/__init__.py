"""Modbus TCP and RTU as a source of an edge: it reads registers and never writes one."""
