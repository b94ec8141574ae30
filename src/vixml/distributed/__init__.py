"""Several processes for one piece of work: what they tell each other, and how they are started and end."""
