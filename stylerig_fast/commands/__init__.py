"""What the subcommands of ``stylerig`` do, one module per subject.

A command is a dataclass: its fields are the options, the text below each field is the option's help, and ``run`` does
the work through the public Engine.
"""
