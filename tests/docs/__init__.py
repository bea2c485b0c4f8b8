"""What the test of the pages is made of: reading their commands and running their Python."""
