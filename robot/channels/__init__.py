"""Ways to hold a conversation: by phone, by text."""
