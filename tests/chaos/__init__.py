"""The chaos harness: one collector that records, one oracle, and a module for each kind of fault."""
