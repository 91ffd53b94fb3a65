"""Data of the contract tests: fixed, with ties, neighbours and awkward values on purpose."""
