"""From a user to a list: retrieve, drop what they have seen, rank."""
