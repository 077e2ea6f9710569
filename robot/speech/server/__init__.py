"""An MRCPv2 server (RFC 6787) on the engines of speech."""
