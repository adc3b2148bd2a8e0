"""An event: written once, mirrored to the other person, consumed, archived. Imports live state and below."""
