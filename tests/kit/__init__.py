"""What the tests stand on: databases to write to, statements to count, invariants to hold."""
