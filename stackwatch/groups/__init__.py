"""The commands as they are typed, one module a group: names, options, help.

A command imports what it needs when it runs, so that an edge agent does not need the database driver. What a command
does is left to `stackwatch.commands`, how its end is told to `stackwatch.running`.
"""
