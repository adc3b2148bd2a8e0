"""What happens to connections if the primary behind the address of a store changes."""
