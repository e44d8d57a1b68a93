"""The doctor: `watch/` reads runs, `examine/` runs algorithms. Both name what is wrong, with evidence."""
