"""How settings come together (defaults, recipes, files, command line), and their generated reference."""
