"""How changes become versions: statements, transactions, savepoints."""
