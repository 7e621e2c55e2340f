"""The drafting ideas: what each is, which arms of a study realise it, and what it is held against."""
