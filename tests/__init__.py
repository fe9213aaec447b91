"""Every promise of the package, as sentences that run."""
