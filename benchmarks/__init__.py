"""What takes longer than a test may: learning results, the bit-for-bit matrix, planted bugs. Results lie in results/."""
