"""The mechanism that methods share: extract, step, run, evaluate."""
