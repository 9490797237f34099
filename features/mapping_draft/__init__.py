"""A mapping drafted from a folder of foreign files: names, types, values and joins judged together."""
