"""SIP, sans-I/O: messages, transactions, dialogs, user agent; bytes and time in, events out."""
