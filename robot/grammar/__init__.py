"""What a person may say or type, and what it means."""
