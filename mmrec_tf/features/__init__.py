"""From content to numbers: the feature store, and the tables that models gather from."""
