"""From the spool to the collector: verdicts, transports, the sender and the thread that drives it."""
