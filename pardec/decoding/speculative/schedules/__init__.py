"""How many tokens a cycle drafts."""
