"""Why a person is, or is not, suggested: the route, its schema and the answer. Imports the API and below."""
