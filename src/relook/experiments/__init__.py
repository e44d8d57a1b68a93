"""From one run to a study: grids of runs, carried out on one machine or on many."""
