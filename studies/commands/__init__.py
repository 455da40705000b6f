"""What a person types: one thin module per command, which parses and then imports the module that works."""
