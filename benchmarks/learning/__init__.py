"""What algorithms learn, beside the best that is published."""
