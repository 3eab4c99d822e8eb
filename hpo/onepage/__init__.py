"""A study as one page of HTML: searched, found, got wrong, spent, failed."""
