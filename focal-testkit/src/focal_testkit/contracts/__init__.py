"""The contracts: one folder per domain with the names core uses, and the checks generated for every port."""
