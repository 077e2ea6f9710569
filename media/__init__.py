"""The media engine: C core binding, legs, prompts, SIP."""
