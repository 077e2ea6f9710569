"""What talks: dialogue scripts, speech, and the channels that carry them."""
