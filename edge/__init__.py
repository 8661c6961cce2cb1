"""The agent beside the analysers: sample, keep on disk, publish, keep until receipted."""
