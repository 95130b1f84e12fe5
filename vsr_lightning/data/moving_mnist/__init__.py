"""The data of the paper."""
