"""From a query to a response: read the store, pick the way, write the cache behind. Imports the state and below."""
