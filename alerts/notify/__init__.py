"""Telling people: who is told of which alerts, in which words, and the delivery of it."""
