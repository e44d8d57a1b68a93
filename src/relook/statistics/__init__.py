"""What can be said about a method from a handful of seeds. Works on numbers and tables, knows no algorithm."""
