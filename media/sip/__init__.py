"""SIP: messages, transactions, dialogs, user agent; sans-I/O, bytes and time in, bytes and events out."""
