"""What is made of a draft: a chain, candidates, a tree."""
