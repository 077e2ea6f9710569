"""MRCPv2 (RFC 6787): speech servers as a call sees them."""
