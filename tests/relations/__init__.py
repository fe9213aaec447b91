"""The relations of a version show what was related then."""
