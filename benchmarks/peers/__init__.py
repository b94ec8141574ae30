"""What a user would take instead, on the same raw folder and with the same metrics."""
