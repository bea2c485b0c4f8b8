"""The protocol card: one page of numbers for any network, each with its protocol, interval and time."""
