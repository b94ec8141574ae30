"""One objective a file, each over similarities of a batch; `objective` chooses among them."""
