"""The contracts that two or more scripts must agree on; see the module names."""
