"""The web server over trained models: page, JSON interface, limits, metrics, and a newer model in place of an older."""
